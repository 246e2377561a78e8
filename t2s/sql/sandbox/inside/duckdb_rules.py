"""What a DuckDB query may hold, decided on the tree that DuckDB's own parser gives (``json_serialize_sql``).

DuckDB has no authorizer, so this stands in its place. Deny by default: a kind of node, a table, a function that is
not listed here is refused, also one that a later DuckDB brings. A name that a WITH query gives itself counts as
known, so such a name may not be that of a table that was not granted.

Not covered: names that DuckDB resolves later than its parser (columns, types, the user's own macros, which are
therefore never callable); what a view of the database does inside (its owner wrote it).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

from .wire import Failure

_NODE_NAMES = """
SELECT_NODE SET_OPERATION_NODE RECURSIVE_CTE_NODE CTE_NODE BASE_TABLE TABLE_FUNCTION SUBQUERY JOIN EMPTY
EXPRESSION_LIST DISTINCT_MODIFIER LIMIT_MODIFIER LIMIT_PERCENT_MODIFIER ORDER_MODIFIER ORDER_DEFAULT ASCENDING
DESCENDING
"""
_NODES = frozenset(_NODE_NAMES.split())
"""Kinds of query, table, and modifier. Left out: INSERT, DELETE, UPDATE and MERGE inside WITH, SHOW, PIVOT."""

_EXPRESSION_NAMES = """
BETWEEN CASE CAST COLLATE COLUMN_REF COMPARISON CONJUNCTION CONSTANT FUNCTION OPERATOR POSITIONAL_REFERENCE STAR
SUBQUERY TYPE WINDOW
"""
_EXPRESSIONS = frozenset(_EXPRESSION_NAMES.split())
"""Classes of expression. Left out: parameters, DEFAULT, lambdas."""

_OPERATOR_NAMES = """
+ - * / // % ^ ** || ~~ !~~ ~~* !~~* ~~~ ~ !~ ^@ = == <> != < > <= >= -> ->>
"""
_OPERATORS = frozenset(_OPERATOR_NAMES.split())

_FUNCTION_NAMES = """
abs any_value approx_count_distinct arbitrary arg_max arg_min argmax argmin array_agg avg bool_and bool_or cbrt
ceil ceiling char_length character_length coalesce concat concat_ws contains corr count count_if count_star
countif cume_dist current_date current_timestamp date_add date_diff date_part date_sub date_trunc datediff
datepart datesub datetrunc day dayname dayofmonth dayofweek dayofyear decade dense_rank ends_with epoch exp
extract first first_value floor fmod get_current_timestamp greatest group_concat grouping hour if ifnull iif
ilike_escape instr isfinite isinf isnan isodow isoyear julian lag last last_day last_value lcase lead least left
len length like_escape list_contains list_value listagg ln log log10 log2 lower ltrim mad make_date max max_by
mean median min min_by minute mod mode month monthname not_ilike_escape not_like_escape now nth_value ntile
nullif percent_rank position pow power prefix product quantile quantile_cont quantile_disc quarter rank
rank_dense regexp_extract regexp_full_match regexp_matches regexp_replace replace reverse right round row_number
rtrim second sign sqrt starts_with stddev stddev_pop stddev_samp strftime string_agg strip_accents strlen strpos
strptime struct_extract substr substring suffix sum to_days to_hours to_minutes to_months to_seconds to_years
today trim trunc try_strptime typeof ucase unicode upper var_pop var_samp variance week weekday weekofyear year
yearweek
"""
FUNCTIONS = frozenset(_FUNCTION_NAMES.split())
"""What a query may call. Left out: all that reads files, settings, secrets or other queries, runs SQL (``query``,
``json_execute_serialized_sql``), makes rows or text out of nothing (``range``, ``repeat``, ``printf``), waits,
is random, or writes (``nextval``, ``write_log``)."""

_TABLE_FUNCTIONS = frozenset({"unnest"})


Name = tuple[str, str]
"""Schema and table, in lower case."""


class Rules:
    """What is there, of which a query may use what it is granted."""

    def __init__(self, catalog: str, tables: frozenset[Name], bare: Collection[str], macros: Collection[str]) -> None:
        self._catalog = catalog.lower()
        self._tables = tables
        self._bare = frozenset(bare)
        self._functions = FUNCTIONS - frozenset(macros)

    def check(self, statement: dict[str, Any], granted: frozenset[Name]) -> None:
        """Raise :class:`Failure` unless ``statement`` reads only what is ``granted`` and calls what is listed."""
        nodes = list(_nodes(statement))
        named = {name.lower() for node in nodes for name in _with_names(node)}
        for name in named & self._bare:
            if ("main", name) not in granted:
                raise Failure("refused", f"a WITH query may not be named {name!r}: that is a table not granted")
        for node in nodes:
            self._check_kind(node)
            if node.get("type") == "BASE_TABLE":
                self._check_table(node, granted, named)
            if "function_name" in node:
                self._check_function(node)
            if node.get("type") == "TABLE_FUNCTION":
                self._check_table_function(node["function"])

    def resolve(self, path: Sequence[str]) -> frozenset[Name]:
        """The tables of the file that a (qualified) name may mean: more than one if a schema is named as the file."""
        parts = [part.lower() for part in path]
        meant = {("main", parts[-1])} if len(parts) == 1 or (len(parts) == 2 and parts[0] == self._catalog) else set()
        if len(parts) == 2:
            meant.add((parts[0], parts[1]))
        if len(parts) == 3 and parts[0] == self._catalog:
            meant.add((parts[1], parts[2]))
        return frozenset(meant) & self._tables

    def _check_kind(self, node: dict[str, Any]) -> None:
        if "class" in node:
            if node["class"] not in _EXPRESSIONS:
                raise Failure("refused", f"{node['class']} is not allowed")
        elif isinstance(kind := node.get("type"), str) and not kind.endswith("_TYPE_INFO") and kind not in _NODES:
            raise Failure("refused", f"{kind} is not allowed")

    def _check_table(self, node: dict[str, Any], granted: frozenset[Name], named: set[str]) -> None:
        path = [part for part in (node["catalog_name"], node["schema_name"], node["table_name"]) if part]
        if len(path) == 1 and path[0].lower() in named:
            return
        meant = self.resolve(node.get("qualified_name", {}).get("path", path))
        if not meant or not meant <= granted:
            raise Failure("refused", f"access to {'.'.join(path)} is prohibited")

    def _check_function(self, node: dict[str, Any]) -> None:
        name = node["function_name"].lower()
        if name not in (_OPERATORS if node.get("is_operator") else self._functions | _TABLE_FUNCTIONS):
            raise Failure("refused", f"not authorized to use function: {name}")

    def _check_table_function(self, function: dict[str, Any]) -> None:
        name = str(function.get("function_name", "")).lower()
        if name not in _TABLE_FUNCTIONS:
            raise Failure("refused", f"not authorized to use table function: {name}")


def _nodes(tree: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """All nodes below ``tree``, without recursion: a hostile tree is deep."""
    waiting: list[Any] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            yield node
            waiting.extend(node.values())
        elif isinstance(node, list):
            waiting.extend(node)


def _with_names(node: dict[str, Any]) -> list[str]:
    """The names that this node gives to queries: of a WITH, or of the recursion itself."""
    names = [entry["key"] for entry in (node.get("cte_map") or {}).get("map", [])]
    return [*names, node["cte_name"]] if node.get("cte_name") else names
