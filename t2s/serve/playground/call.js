// Calls to this host, and what went wrong with one in one line.
const ATTEMPTS = 6; // with what the endpoint says to wait in between
const UNKNOWN = "401: the token is missing or wrong. Reload the page, and give it as the password.";
const AWAY = "The endpoint cannot be reached. Is it up (t2s serve), and the network?";

class Failed extends Error {
  constructor(line, retryAfter) {
    super(oneLine(line));
    this.retryAfter = retryAfter; // seconds; undefined: asking again would not help
  }
}

async function call(path, options) {
  let response, body;
  try {
    response = await fetch(path, options);
    body = parsed(await response.text());
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Failed(AWAY);
  }
  if (response.ok && body) return body;
  if (response.status === 401) throw new Failed(UNKNOWN);
  const error = body && body.error; // a line, or on OpenAI's routes what holds it
  const why = error ? error.message || error : response.statusText || "no readable answer";
  const wait = Number(response.headers.get("Retry-After")) || 2;
  throw new Failed(`${response.status}: ${why}`, [429, 503].includes(response.status) ? wait : undefined);
}

function parsed(text) {
  // A number of JavaScript holds 53 bits, a database's 64: a larger one is shown as it was written.
  const exact = (key, value, source) => (Number.isInteger(value) && !Number.isSafeInteger(value) && source
    ? source.source : value);
  try {
    return JSON.parse(text, exact);
  } catch {
    return null;
  }
}

// Asking changes nothing there, so that asking again is always safe.
async function askPatiently(body, signal, onWait) {
  const headers = { "Content-Type": "application/json" };
  const options = { method: "POST", headers, body: JSON.stringify(body), signal };
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await call("/v1/sql", options);
    } catch (error) {
      if (error.retryAfter === undefined || attempt === ATTEMPTS) throw error;
      for (let left = Math.ceil(error.retryAfter); left > 0; left -= 1) {
        onWait(error.message, left);
        await pause(1000, signal);
      }
      onWait("", 0);
    }
  }
}

function pause(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const stop = () => { clearTimeout(timer); reject(signal.reason); };
    const timer = setTimeout(() => { signal.removeEventListener("abort", stop); resolve(); }, milliseconds);
    signal.addEventListener("abort", stop, { once: true });
  });
}
