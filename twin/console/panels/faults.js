// Injected faults: by chance, with a rate for each kind; and by rule, at exactly one call.

import { twin } from "../api.js";
import { action, choice, complain, field, form, h, heading, say, show, table } from "../dom.js";
import { count } from "../words.js";

export default { id: "faults", title: "Faults", needs: ["twin"], build };

const ABOUT = {
  "fail-before": "a request is not executed; the connection ends without an answer",
  "lose-answer": "a request is executed; the connection ends without an answer",
  throttle: "a request is refused with the service's throttling error",
  "server-error": "a request is refused with the service's 500 or 503",
  conflict: "a DynamoDB write is refused because of a transaction on the item",
  partial: "half of an SQS batch fails",
  "kill-before": "the function's process is killed before its request is executed",
  "kill-after": "the request is executed, then the process is killed",
  "gone-though-delivered": "a post to a socket is delivered and answered with 410",
  "accepted-though-dead": "a post to a socket is answered with 200 and not sent",
  "lose-disconnect": "a socket's $disconnect never comes",
  "late-disconnect": "a socket's $disconnect comes one to five seconds late",
  "drop-socket": "a socket is cut at a frame, which is lost",
  "repeat-delivery": "a processed queue message is delivered again",
  "reorder-delivery": "a standard queue delivers in random order",
  "fail-invoke": "an invocation is refused before it begins",
};

function build() {
  const plan = h("div");
  const rules = h("div");
  const struck = h("div", { "aria-live": "off" });
  let kinds = null;
  async function refresh() {
    if (!kinds) {
      kinds = await twin("GET", "faults/kinds");
      plan.append(planForm(kinds, refresh));
      rules.append(ruleForm(kinds, refresh));
    }
    const faults = await twin("GET", "faults");
    show(struck, faults, (faults) => state(faults, refresh));
  }
  const clear = async () => {
    await twin("DELETE", "faults");
    say("No faults are injected any more.");
    await refresh();
  };
  const node = h(
    "div",
    {},
    heading("Faults", action("Clear all", clear, { class: "danger" })),
    h("p.hint", {}, "Only calls of functions are struck. Every message is settled all the same: watch its trail."),
    struck,
    plan,
    rules,
  );
  return { node, refresh, every: 1_500 };
}

function state({ plan, rules, injected }, again) {
  const remove = (id) => async () => {
    await twin("DELETE", `faults/rules/${id}`);
    await again();
  };
  const where = (rule) =>
    [rule.function, rule.service, rule.operation, ...(rule.contains ?? []).map(JSON.stringify)].filter(Boolean);
  return h(
    "section.card",
    { "aria-label": "What is set" },
    h("h2", {}, "What is set"),
    h("p", {}, plan ? `By chance, with seed ${plan.seed}: ${rated(plan.rates)}.` : "Nothing by chance."),
    rules.length > 0 &&
      table(
        "Rules",
        ["Rule", "Where", "Struck", ""],
        rules.map((rule) => [
          rule.fault,
          where(rule).join(", ") || "anywhere",
          `${rule.hits} of ${count(rule.times, "time")}`,
          action("Remove", remove(rule.id), { "data-key": `rule ${rule.id}`, "aria-label": `Remove ${rule.fault}` }),
        ]),
        "",
      ),
    h(
      "p.hint",
      {},
      Object.keys(injected).length
        ? `Struck so far: ${Object.entries(injected)
            .map(([fault, times]) => `${fault} ${times}`)
            .join(", ")}.`
        : "Nothing has been struck yet.",
    ),
  );
}

const rated = (rates) =>
  Object.entries(rates)
    .filter(([, rate]) => rate > 0)
    .map(([fault, rate]) => `${fault} ${rate}`)
    .join(", ") || "no kind";

function planForm({ kinds }, again) {
  const seed = h("input", { type: "text", inputmode: "numeric", value: String(Math.floor(Math.random() * 1e6)) });
  const rates = new Map(
    kinds.map(({ fault }) => [
      fault,
      h("input", { type: "text", inputmode: "decimal", value: "0", id: `rate-${fault}` }),
    ]),
  );
  const set = (of) => () => {
    for (const kind of kinds) rates.get(kind.fault).value = String(of(kind));
  };
  const submit = async () => {
    const body = {
      seed: Number(seed.value),
      rates: Object.fromEntries([...rates].map(([fault, input]) => [fault, Number(input.value)])),
    };
    for (const input of rates.values()) mark(input, !(Number(input.value) >= 0 && Number(input.value) <= 1));
    complain(seed, Number.isSafeInteger(body.seed) && body.seed >= 0 ? null : "is not a whole number");
    const wrong = filled.querySelector("[aria-invalid]");
    if (wrong) {
      wrong.focus();
      say("A rate is a number from 0 to 1.");
      return;
    }
    await twin("PUT", "faults", body).then(again, (error) => say(error.message));
  };
  const filled = form(
    "form.card",
    { "aria-label": "By chance" },
    submit,
    h("h2", {}, "By chance"),
    h("p.hint", {}, "How often each kind strikes, from 0 to 1. The same seed makes the same decisions."),
    h("div.seed", {}, field("seed", "Seed", seed)),
    h(
      "div.fields.rates",
      {},
      kinds.map(({ fault }) =>
        h(
          "div.rate",
          {},
          h("label", { for: `rate-${fault}` }, fault, h("span.hint", {}, ABOUT[fault] ?? "")),
          rates.get(fault),
        ),
      ),
    ),
    h(
      "div.buttons",
      {},
      h("button.primary", { type: "submit" }, "Apply"),
      h("button", { type: "button", onclick: set(({ usualRate }) => usualRate) }, "Moderate rates"),
      h("button", { type: "button", onclick: set(() => 0) }, "All zero"),
    ),
  );
  return filled;
}

function mark(input, isWrong) {
  if (isWrong) input.setAttribute("aria-invalid", "true");
  else input.removeAttribute("aria-invalid");
}

function ruleForm({ kinds, functions, services }, again) {
  const input = (props) => h("input", { type: "text", autocomplete: "off", ...props });
  const fields = {
    fault: choice(kinds.map(({ fault }) => fault)),
    function: choice([["", "any"], ...functions]),
    service: choice([["", "any"], ...services]),
    operation: input({ placeholder: "PutItem" }),
    contains: input({ placeholder: "|alice" }),
    times: input({ inputmode: "numeric", value: "1" }),
    skip: input({ inputmode: "numeric", value: "0" }),
  };
  const labels = {
    fault: "Fault",
    function: "Function",
    service: "Service",
    operation: "Operation",
    contains: "Text in the call",
    times: "Times",
    skip: "Let pass first",
  };
  const wrong = h("p.wrong", { role: "alert" });
  const submit = async () => {
    const { contains, times, skip, ...texts } = Object.fromEntries(
      Object.entries(fields).map(([name, control]) => [name, control.value.trim()]),
    );
    const rule = Object.fromEntries(Object.entries(texts).filter(([, text]) => text));
    if (contains) rule.contains = [contains];
    wrong.textContent = "";
    await twin("POST", "faults/rules", { ...rule, times: Number(times), skip: Number(skip) }).then(
      again,
      (error) => (wrong.textContent = error.message),
    );
  };
  return form(
    "form.card",
    { "aria-label": "By rule" },
    submit,
    h("h2", {}, "By rule"),
    h("p.hint", {}, "One kind, at exactly the calls that match, so many times."),
    h(
      "div.fields",
      {},
      Object.entries(fields).map(([name, control]) => field(name, labels[name], control)),
    ),
    h("div.buttons", {}, h("button.primary", { type: "submit" }, "Add the rule")),
    wrong,
  );
}
