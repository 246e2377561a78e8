// Everything that comes from elsewhere enters the page as text, through these.
const at = (id) => document.getElementById(id);

function make(tag, text, className) {
  const node = document.createElement(tag);
  if (text !== undefined) node.textContent = text;
  if (className) node.className = className;
  return node;
}

const oneLine = (text) => String(text).replace(/\s+/g, " ").trim().slice(0, 500);

function seconds(milliseconds) {
  return milliseconds < 1000 ? `${Math.round(milliseconds)} ms` : `${(milliseconds / 1000).toFixed(1)} s`;
}

// SQL in colours: comments, strings, quoted names, numbers, words; all other text stands as it is.
const TOKENS = new RegExp([
  String.raw`(?<c>--[^\n]*|/\*[^]*?\*/)`, String.raw`(?<s>'(?:[^']|'')*'?)`,
  String.raw`(?<q>"(?:[^"]|"")*"?|${"`[^`]*`?"})`,
  String.raw`(?<n>\b\d+(?:\.\d+)?(?:e[+-]?\d+)?\b)`, String.raw`(?<w>[\p{L}_][\p{L}\d_]*)`,
].join("|"), "giu");
const KEYWORDS = new Set(("select distinct from where and or not in is null like glob between exists case when then "
  + "else end as on join inner left right full outer cross natural using group by having order asc desc limit offset "
  + "union all except intersect with recursive over partition cast collate nulls first last filter values true "
  + "false").split(" "));

function colourSQL(code, sql) {
  code.replaceChildren();
  let done = 0;
  for (const match of sql.matchAll(TOKENS)) {
    const className = classOf(match, sql);
    if (!className) continue;
    code.append(sql.slice(done, match.index), make("span", match[0], className));
    done = match.index + match[0].length;
  }
  code.append(sql.slice(done));
}

function classOf({ groups, index, 0: token }, sql) {
  if (groups.c) return "c";
  if (groups.s) return "s";
  if (groups.n) return "n";
  if (!groups.w) return "";
  const isKeyword = KEYWORDS.has(token.toLowerCase());
  const isCall = !isKeyword && /^\s*\(/.test(sql.slice(index + token.length, index + token.length + 20));
  return isKeyword ? "k" : isCall ? "f" : "";
}
