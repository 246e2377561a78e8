// What is asked about: an attached database, a CSV file, or a pasted schema.
const MAX_BODY_BYTES = 512 * 1024;
const NO_DATABASE = "No database is attached (serve.databases): bring a CSV file, or paste a schema.";
let databases = [];
let csv = null; // { name, text }

const kind = () => document.querySelector("input[name=kind]:checked").value;
const chosenDatabase = () => databases[at("database").selectedIndex];
const hasAllTables = () => Boolean(chosenDatabase()) && chosenDatabase().tables.length > 1;

function chosenTable() {
  const tables = chosenDatabase() ? chosenDatabase().tables : [];
  return tables[at("table").selectedIndex]; // undefined: all of them
}

function showKind(wanted) {
  if (wanted) document.querySelector(`input[name=kind][value=${wanted}]`).checked = true;
  for (const each of ["database", "csv", "schema"]) at(`of-${each}`).hidden = each !== kind();
}

function showDatabases(found) {
  databases = found;
  at("database").replaceChildren(...databases.map((each) => make("option", each.name)));
  at("database").disabled = databases.length === 0;
  showTables();
}

function showTables() {
  const database = chosenDatabase();
  const options = database ? database.tables.map((each) => make("option", each.name)) : [];
  if (hasAllTables()) options.push(make("option", "all tables"));
  at("table").replaceChildren(...options);
  at("table").disabled = options.length === 0;
  const problem = database ? database.error : NO_DATABASE;
  at("database-problem").textContent = problem || "";
  at("database-problem").hidden = !problem;
  showColumns();
}

function showColumns() {
  const tables = chosenTable() ? [chosenTable()] : chosenDatabase() ? chosenDatabase().tables : [];
  at("columns").hidden = tables.length === 0;
  at("columns").replaceChildren(...tables.flatMap((table) => {
    const list = make("ul");
    list.append(...table.columns.map((column) => {
      const item = make("li", column.name);
      item.append(make("span", column.type));
      return item;
    }));
    return tables.length > 1 ? [make("h3", table.name), list] : [list];
  }));
}

function choose(database, table) {
  at("database").selectedIndex = databases.findIndex((each) => each.name === database);
  if (!chosenDatabase()) at("database").selectedIndex = 0;
  showTables();
  const tables = chosenDatabase() ? chosenDatabase().tables : [];
  const found = tables.findIndex((each) => each.name === table);
  at("table").selectedIndex = table === null && hasAllTables() ? tables.length : Math.max(found, 0);
  showColumns();
}

async function readFile(file) {
  const { name, size } = file;
  if (size > MAX_BODY_BYTES) throw new Failed(`${name} has ${Math.ceil(size / 1024)} KB; at most 512 KB can be sent.`);
  const bytes = await file.arrayBuffer().catch(() => { throw new Failed(`${name} cannot be read.`); });
  const text = decoded(bytes);
  if (!text.trim()) throw new Failed(`${name} is empty.`);
  if (text.includes("\0")) throw new Failed(`${name} is no text file: save it as CSV.`);
  return { name: name.slice(-200), text };
}

// Spreadsheets on Windows still write its old encoding.
function decoded(bytes) {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return new TextDecoder("windows-1252").decode(bytes);
  }
}

function showFile(file) {
  csv = file;
  at("file").value = "";
  at("file-chosen").hidden = !csv;
  at("file-schema").hidden = true;
  if (!csv) return;
  at("file-name").textContent = csv.name;
  const lines = csv.text.trimEnd().split(/\r\n?|\n/);
  at("file-size").textContent = `${lines.length} lines`;
  const shown = lines.slice(0, 5).map((line) => line.slice(0, 200));
  at("file-preview").textContent = [...shown, ...(lines.length > 5 ? ["…"] : [])].join("\n");
}

// The part of a request that says what it is about, and the same in words; or a Failed that says what is missing.
function aboutWhat() {
  if (kind() === "csv") {
    if (!csv) throw new Failed("Choose a CSV file first, or drop one on the page.");
    return { part: { csv }, words: csv.name };
  }
  if (kind() === "schema") {
    if (!at("schema").value.trim()) throw new Failed("Paste a schema first: TABLE: name ( column (type), … )");
    return { part: { schema: at("schema").value }, words: "a pasted schema" };
  }
  if (!chosenDatabase()) throw new Failed(NO_DATABASE);
  const table = chosenTable();
  const part = { database: chosenDatabase().name, ...(table ? { table: table.name } : {}) };
  return { part, words: table ? `${part.database} · ${part.table}` : part.database };
}
