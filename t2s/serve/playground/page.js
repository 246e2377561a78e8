// Asking, and the wires.
let health = null;
let asking = null; // the AbortController of what is under way

function showError(line) {
  at("error").textContent = line;
  at("error").hidden = !line;
}

// Screen readers hear `words` once; what counts up or down beside it is for the eye.
function showStatus(words, ticking = "") {
  at("status").classList.remove("heard");
  if (at("status").dataset.words !== words) at("status").replaceChildren(make("span", words), make("span"));
  at("status").dataset.words = words;
  at("status").lastElementChild.ariaHidden = "true";
  at("status").lastElementChild.textContent = ticking;
}

function showBusy(isBusy) {
  at("ask").disabled = isBusy;
  at("stop").hidden = !isBusy;
  at("status").classList.toggle("busy", isBusy);
  at("answers").ariaBusy = String(isBusy);
}

// One answer, with the time that it takes shown while it takes it.
async function askOne(body, words) {
  const started = performance.now();
  let waits = false;
  const tick = () => { if (!waits) showStatus(words, ` ${((performance.now() - started) / 1000).toFixed(1)} s`); };
  const timer = setInterval(tick, 100);
  tick();
  try {
    return await askPatiently(body, asking.signal, (why, left) => {
      waits = left > 0;
      if (waits) showStatus(`${why}. Asking again in`, ` ${left} s`);
    });
  } finally {
    clearInterval(timer);
  }
}

async function ask(event) {
  event.preventDefault();
  if (asking) return;
  showError("");
  try {
    const question = at("question").value;
    if (!question.trim()) throw new Failed("Write a question first.");
    await askAbout(question, aboutWhat(), at("compare").checked);
  } catch (error) {
    const isStopped = error.name === "AbortError";
    showStatus(isStopped ? "Stopped." : "");
    if (!isStopped) showError(error.message);
    if (!isStopped && !(error instanceof Failed)) throw error; // ours
  } finally {
    asking = null;
    showBusy(false);
  }
}

async function askAbout(question, { part, words }, withBase) {
  const body = { question, ...part };
  const size = new Blob([JSON.stringify(body)]).size;
  if (size > MAX_BODY_BYTES) throw new Failed("The file is over 512 KB when it is sent: take fewer rows.");
  asking = new AbortController();
  showBusy(true);
  const tuned = await askOne(body, withBase ? "Asking the adapter …" : "Asking …");
  at("asked").textContent = question;
  at("asked").hidden = false;
  at("answers").replaceChildren(answerCard(withBase ? `Tuned · adapter ${tuned.adapter.version}` : "Answer", tuned));
  at("answers").ariaBusy = "false";
  if (tuned.schema) showReadAs(tuned.schema);
  const { csv: file, ...source } = part;
  const named = file ? { file: file.name } : {};
  remember({ question, words, ...source, ...named, sql: tuned.sql, verdict: tuned.verdict });
  place = -1;
  if (!withBase) {
    showStatus(summary(tuned));
    at("status").classList.add("heard"); // the eye has the card
    return;
  }
  const base = await askOne({ ...body, adapter: "base" }, "Asking the base …");
  at("answers").append(answerCard("Base", base));
  showStatus(comparison(tuned, base));
}

function summary(answer) {
  return `${verdictWord(answer.verdict)} in ${seconds(answer.timing_ms.total)}. ${countWords(answer)}`.trim();
}

function comparison(tuned, base) {
  if (tuned.verdict !== "ok" || base.verdict !== "ok") {
    return `Tuned: ${verdictWord(tuned.verdict).toLowerCase()}; base: ${verdictWord(base.verdict).toLowerCase()}.`;
  }
  if (!sameRows(tuned, base)) return "Tuned and base found different rows.";
  return tuned.truncated || base.truncated ? "Tuned and base found the same first rows; there are more."
    : "Tuned and base found the same rows.";
}

function showReadAs(schema) {
  at("file-schema-text").textContent = schema;
  at("file-schema").hidden = false;
}

async function takeFile(files) {
  showError("");
  try {
    showKind("csv");
    showFile(await readFile(files[0]));
    at("question").focus();
  } catch (error) {
    showFile(null);
    showError(error.message);
  }
}

function showCompare(models) {
  const isBare = ["none", "base"].includes(health.adapter.version);
  const isListed = models.some((each) => each.id === "t2s@base");
  at("compare").disabled = isBare || !isListed;
  at("compare-why").textContent = isBare ? "This endpoint serves the base itself."
    : isListed ? "" : "This endpoint does not offer the base beside its adapter.";
}

function showReady(className, problem) {
  const words = health ? `${health.base} · adapter ${health.adapter.version}` : "";
  at("dot").className = `dot ${className}`;
  at("about").textContent = [words, problem].filter(Boolean).join(" · ");
}

async function begin() {
  try {
    health = await call("/healthz");
    showReady("", "");
    showDatabases((await call("/v1/databases")).databases);
    if (databases.length === 0) showKind("csv");
    showCompare((await call("/v1/models")).data);
    const ready = await call("/readyz");
    showReady(ready.problem ? "warn" : "ok", ready.problem || "ready");
  } catch (error) {
    showReady("bad", error.message);
  }
}

function onKey(event) {
  const isTyping = event.target.matches("textarea, select, input:not([type=checkbox], [type=radio])");
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    at("form").requestSubmit();
  } else if (event.key === "Escape" && asking) {
    asking.abort();
  } else if (event.key === "/" && !isTyping && !event.ctrlKey && !event.metaKey && !event.altKey) {
    event.preventDefault();
    at("question").focus();
  }
}

function onDrag(event) {
  if (![...event.dataTransfer.types].includes("Files")) return;
  event.preventDefault();
  document.body.classList.toggle("dragging", event.type === "dragover");
  if (event.type === "drop" && event.dataTransfer.files.length) takeFile(event.dataTransfer.files);
}

if (/Mac|iPhone|iPad/.test(navigator.platform)) {
  at("ask-keys").textContent = "⌘ ↵";
  for (const each of document.querySelectorAll(".mod")) each.textContent = "⌘";
}
at("form").noValidate = true; // its own words, in one line
at("form").addEventListener("submit", ask);
at("form").addEventListener("change", (event) => { if (event.target.name === "kind") showKind(); });
at("stop").addEventListener("click", () => asking && asking.abort());
at("database").addEventListener("change", showTables);
at("table").addEventListener("change", showColumns);
at("file").addEventListener("change", () => at("file").files.length && takeFile([...at("file").files]));
at("file-remove").addEventListener("click", () => { showFile(null); at("file").focus(); });
at("history-clear").addEventListener("click", clearHistory);
at("question").addEventListener("keydown", (event) => { if (/^Arrow(Up|Down)$/.test(event.key)) browse(event); });
at("question").addEventListener("input", () => { place = -1; });
document.addEventListener("keydown", onKey);
for (const each of ["dragover", "dragleave", "drop"]) document.addEventListener(each, onDrag);
showKind();
showTables();
loadHistory();
begin();
