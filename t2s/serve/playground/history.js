// What was asked, in this browser: questions, where of, and the SQL. No rows, no file's content, no token.
const HISTORY_KEY = "t2s.history";
const HISTORY_LENGTH = 50;
let remembered = [];

function loadHistory() {
  try {
    const stored = JSON.parse(localStorage.getItem(HISTORY_KEY) || "[]");
    remembered = Array.isArray(stored) ? stored.filter((each) => each && typeof each.question === "string") : [];
  } catch {
    remembered = [];
  }
  showHistory();
}

function remember(entry) {
  const same = (each) => each.question === entry.question && each.words === entry.words;
  remembered = [entry, ...remembered.filter((each) => !same(each))].slice(0, HISTORY_LENGTH);
  storeHistory();
  showHistory();
}

function storeHistory() {
  try {
    localStorage.setItem(HISTORY_KEY, JSON.stringify(remembered));
  } catch { // no room, or not allowed: then it lasts as long as the page
    remembered = remembered.slice(0, Math.ceil(HISTORY_LENGTH / 2));
  }
}

function clearHistory() {
  remembered = [];
  try { localStorage.removeItem(HISTORY_KEY); } catch { /* not allowed, so nothing is there */ }
  showHistory();
  at("question").focus();
}

function showHistory() {
  at("history-empty").hidden = remembered.length > 0;
  at("history-clear").hidden = remembered.length === 0;
  at("history").replaceChildren(...remembered.map((entry) => {
    const button = make("button", entry.question);
    button.type = "button";
    button.append(make("span", `${entry.words} · ${verdictWord(entry.verdict)} · ${entry.sql}`, "soft"));
    button.addEventListener("click", () => recall(entry));
    const item = make("li");
    item.append(button);
    return item;
  }));
}

// The question and what it was about; it is not asked until somebody asks.
function recall(entry) {
  const { database, table, schema, file } = entry;
  if (database) choose(database, table || null);
  if (schema) at("schema").value = schema;
  showKind(file ? "csv" : schema ? "schema" : "database");
  at("question").value = entry.question;
  place = -1;
  at("question").focus();
  const isGone = database && (!chosenDatabase() || chosenDatabase().name !== database);
  showError(isGone ? `The database ${database} is not attached any more.`
    : file && (!csv || csv.name !== file) ? `Files are not kept: choose ${file} again.` : "");
}

// Up and down go through earlier questions, as in a shell; what was being typed waits at the end.
let place = -1;
let draft = "";

function browse(event) {
  const field = at("question");
  const isUp = event.key === "ArrowUp";
  const before = field.value.slice(0, field.selectionStart);
  const after = field.value.slice(field.selectionEnd);
  if (event.shiftKey || event.ctrlKey || event.altKey || event.metaKey) return;
  if ((isUp ? before : after).includes("\n")) return;
  const next = place + (isUp ? 1 : -1);
  if (next < -1 || next >= remembered.length) return;
  if (place === -1) draft = field.value;
  place = next;
  field.value = place === -1 ? draft : remembered[place].question;
  event.preventDefault();
}
