"""The text form of schemas: what people type, and that rendering and reading are inverse."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from t2s.errors import SQLError
from t2s.sql.core import Column, ForeignKey, Schema, Table
from t2s.sql.schema import distinct_names, parse_schema, render_schema, sql_names, with_distinct_names

NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.sampled_from(
    ["order", "a, b", "Area (km2)", 'say "x"', " lead", "", "(", "real)", "TABLE: x ( y )", "Home team", "naïve 表"]
)
TYPES = st.sampled_from(["text", "real", "varchar", "double precision"])
TABLES = st.builds(Table, NAMES, st.lists(st.builds(Column, NAMES, TYPES), min_size=1, max_size=5).map(tuple))
KEYS = st.builds(ForeignKey, NAMES, NAMES, NAMES, NAMES)
SCHEMAS = st.builds(Schema, st.lists(TABLES, min_size=1, max_size=3).map(tuple), st.lists(KEYS, max_size=2).map(tuple))


@given(SCHEMAS)
def test_a_rendered_schema_is_read_back_as_it_was(schema: Schema) -> None:
    assert parse_schema(render_schema(schema)) == schema


def test_the_documented_line_is_read() -> None:
    schema = parse_schema("TABLE: table ( id (real), name (text), salary (real) )")
    assert schema.table == Table("table", (Column("id", "real"), Column("name"), Column("salary", "real")))
    assert render_schema(schema) == "TABLE: table ( id (real), name (text), salary (real) )"


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        ("name", Column("name", "text")),
        ("Home team (text)", Column("Home team", "text")),
        ("Area (km2) (real)", Column("Area (km2)", "real")),
        ('"a, b" (real)', Column("a, b", "real")),
        ('"say ""x"" (now)"', Column('say "x" (now)', "text")),
        ("Pick #(real)", Column("Pick #", "real")),
    ],
)
def test_a_column_is_read(column: str, expected: Column) -> None:
    assert parse_schema(f"table: t({column},z)").table.columns == (expected, Column("z"))


def test_names_are_quoted_only_where_they_must_be() -> None:
    names = ["Home team", "Area (km2)", "a, b", 'x "y"', '"x" y', "No. 7%", ""]
    text = render_schema(Schema((Table("my table", tuple(map(Column, names))),)))
    assert text == (
        'TABLE: my table ( Home team (text), Area (km2) (text), "a, b" (text), x "y" (text), '
        '"""x"" y" (text), No. 7% (text), "" (text) )'
    )


def test_several_tables_and_their_keys_are_read() -> None:
    text = 'TABLE: a ( id (real) )\nTABLE: b c ( a_id (real) )\nKEY: "b c".a_id = a.id\n'
    schema = parse_schema(text)
    assert [table.name for table in schema.tables] == ["a", "b c"]
    assert schema.foreign_keys == (ForeignKey("b c", "a_id", "a", "id"),)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "the schema is empty"),
        ("employees ( id )", "character 1 ('employees ( id )'): expected TABLE:"),
        ("TABLE: t", "expected ( after the table name 't'"),
        ("TABLE: ( id )", "the table has no name"),
        ("TABLE: t ( id (real)", "character 12 ('id (real)'): the list of columns is not closed"),
        ("TABLE: t ( id, , b )", "character 16 (', b )'): a column has no name"),
        ("TABLE: t ( )", "a column has no name"),
        ('TABLE: t ( "id )', "a quoted name is not closed"),
        ('TABLE: t ( "id" real )', "expected a type in parentheses after 'id'"),
        ("TABLE: t ( id ) and more", "character 17 ('and more'): expected TABLE:"),
        ("TABLE: t ( id ) KEY: t.id t.id", "expected = in KEY:"),
    ],
)
def test_a_bad_schema_is_an_error_with_place_and_cure(text: str, problem: str) -> None:
    with pytest.raises(SQLError, match=r"TABLE: name|KEY: table") as caught:
        parse_schema(text)
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_type_that_is_no_word_is_refused() -> None:
    with pytest.raises(SQLError, match="column 'a'"):
        render_schema(Schema((Table("t", (Column("a", "real) ("),)),)))


@given(st.lists(st.sampled_from(["a", "a:1", "a:2", "b", ""]), max_size=8))
def test_distinct_names_are_distinct_and_keep_first_names(names: list[str]) -> None:
    unique = distinct_names(names)
    assert len(set(unique)) == len(names)
    assert all(unique[names.index(name)] == name for name in names)
    assert distinct_names(unique) == unique


def test_a_repeated_name_gets_a_number_as_in_sqlite() -> None:
    table = Table("t", (Column("Name"), Column("Name", "real"), Column("Name:1")))
    assert sql_names(table) == ("Name", "Name:2", "Name:1")
    assert with_distinct_names(table).columns[1] == Column("Name:2", "real")
