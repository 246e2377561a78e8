// One answer: verdict, SQL, rows, facts.
const VERDICTS = {
  ok: ["Ran", "good"], not_executed: ["Not run", "warn"], invalid_sql: ["Invalid SQL", ""], refused: ["Refused", ""],
  timeout: ["Took too long", ""], execution_error: ["Failed to run", ""],
};
const verdictWord = (verdict) => (VERDICTS[verdict] || [verdict, ""])[0];

function answerCard(title, answer) {
  const card = at("answer-template").content.firstElementChild.cloneNode(true);
  const part = (selector) => card.querySelector(selector);
  card.setAttribute("aria-label", title);
  part("h3").textContent = title;
  part(".verdict").textContent = verdictWord(answer.verdict);
  part(".verdict").className = `verdict ${(VERDICTS[answer.verdict] || [])[1] || ""}`;
  colourSQL(part("code"), answer.sql || "(nothing)");
  part(".copy").addEventListener("click", () => copy(answer.sql, part(".copy"), part("code")));
  part(".detail").textContent = answer.detail;
  part(".rows").hidden = answer.verdict !== "ok" || answer.rows.length === 0;
  if (answer.verdict === "ok") showRows(part("table"), answer);
  part(".count").textContent = countWords(answer);
  part(".facts").append(...facts(answer).map(([name, value]) => {
    const pair = make("div");
    pair.append(make("dt", name), make("dd", value));
    return pair;
  }));
  return card;
}

function showRows(table, { columns, rows }) {
  const isNumber = columns.map((_, index) => rows.every((row) => ["number", "object"].includes(typeof row[index])));
  const head = make("tr");
  head.append(...columns.map((name, index) => {
    const cell = make("th", name, isNumber[index] ? "right" : "");
    cell.scope = "col";
    return cell;
  }));
  table.tHead.replaceChildren(head);
  table.tBodies[0].replaceChildren(...rows.map((values) => {
    const row = make("tr");
    row.append(...values.map((value, index) => cellOf(value, isNumber[index])));
    return row;
  }));
}

function cellOf(value, isNumber) {
  if (value === null) return make("td", "NULL", `null${isNumber ? " right" : ""}`);
  const cell = make("td", String(value), isNumber ? "right" : "");
  if (String(value).length > 40) cell.title = String(value);
  return cell;
}

function countWords({ verdict, rows, truncated }) {
  if (verdict !== "ok") return "";
  if (rows.length === 0) return "It ran, and found no rows.";
  const rowWord = rows.length === 1 ? "row" : "rows";
  return truncated ? `The first ${rows.length} ${rowWord}; there are more.` : `${rows.length} ${rowWord}`;
}

function facts({ timing_ms: took, adapter, base, regime, verdict }) {
  const run = adapter.run_id ? ` (run ${adapter.run_id})` : "";
  return [
    ["Total", seconds(took.total)], ["Model", seconds(took.generate)],
    ...(verdict === "not_executed" ? [] : [["Query", seconds(took.execute)]]),
    ["Adapter", adapter.version === "base" ? "none" : `${adapter.version}${run}`], ["Base", base], ["Decoding", regime],
  ];
}

function sameRows(one, other) {
  const sorted = ({ rows }) => JSON.stringify(rows.map((row) => JSON.stringify(row)).sort());
  return sorted(one) === sorted(other);
}

async function copy(text, button, code) {
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch { // not over plain HTTP from another machine: then it is selected, for the keyboard
    getSelection().selectAllChildren(code);
    button.textContent = "Selected: press Ctrl C";
  }
  setTimeout(() => { button.textContent = "Copy SQL"; }, 2000);
}
