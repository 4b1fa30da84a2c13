// POST /v1/messages with every field that it has. A problem from the service is shown at the field that it names.

import { choice, complain, field, form, h, heading, say, show } from "../dom.js";
import { area, json, number, numeric, text } from "../forms.js";
import { remember } from "../records.js";
import { AUDIENCE_TYPES, CHANNELS, MSG_TYPES, PLATFORMS, PRIORITIES } from "../wire.js";
import { api } from "../service.js";

export default { id: "send", title: "Send", needs: ["appKey"], build };

/** How many steps a fallback chain may have. */
const STEPS = 8;

const yesNo = () =>
  choice([
    ["", "default"],
    ["true", "true"],
    ["false", "false"],
  ]);

// Every field by its name in the request: label, control, hint. The groups are those of the page.
const GROUPS = [
  [
    "To",
    true,
    {
      audiences: ["Audiences, one per line", () => area(2, { required: true }), "aliases of users, or device ids"],
      audienceType: ["What they are", () => choice([["", "default: ALIAS"], ...AUDIENCE_TYPES])],
      platform: ["Only devices of", () => choice([["", "default: ALL"], "ALL", ...PLATFORMS])],
      tenantCode: ["Tenant", text],
      appId: ["App", text, "the key's app if empty"],
    },
  ],
  [
    "Content",
    true,
    {
      alert: ["Alert", () => area(2), "what is shown; required if there is no extra"],
      extra: ["Extra", () => area(2, { spellcheck: "false" }), "any JSON, for the app"],
      pushMsgType: [
        "Kind",
        () =>
          choice([
            ["", "default: MSG"],
            ["MSG", "MSG: shown"],
            ["CMD", "CMD: handed to the app"],
          ]),
      ],
      sender: ["Sender", text, "also leads the subject of an email"],
    },
  ],
  [
    "Delivery",
    false,
    {
      priority: ["Priority", () => choice([["", "default: by size"], ...PRIORITIES])],
      ttl: ["Time to live, seconds", number, "72 h if empty"],
      persist: ["Kept for who is away (persist)", yesNo],
      sendAt: ["Send at", () => h("input", { type: "datetime-local", step: "1" }), "your local time"],
      needConfirm: ["Redelivered until confirmed (needConfirm)", yesNo],
      duration: ["For how long, seconds (duration)", number],
      collapseKey: ["Collapse key", text, "replaces what has not been shown yet under it"],
      idempotencyKey: ["Idempotency key", text, "a header: the same key makes one message"],
    },
  ],
  [
    "Around the socket",
    false,
    {
      smsMessage: ["Text of the SMS", () => area(2), "without steps it makes a chain of one SMS"],
      "condition.itemOpen": ["Only while this item is open", text, "see Items"],
      "condition.clientVersionBelow": ["Only to apps older than", text, "a version, such as 2.10.0"],
    },
  ],
  [
    "For the app",
    false,
    {
      msgType: ["Type of content", () => choice([["", "none"], ...MSG_TYPES])],
      event: ["Event", text],
      sound: ["Sound", text],
      badge: ["Badge", number],
      category: ["Category", text],
      tag: ["Tag", text],
      sendDevice: ["Sending device", text],
      "source.platform": ["Source: platform", text],
      "source.product": ["Source: product", text],
    },
  ],
];

/** Fields that are numbers. A text that does not look like one is sent as it is: the service reports the problem. */
const NUMBERS = ["ttl", "duration", "badge"];

function build() {
  const controls = {};
  const steps = [];
  const chain = h("div.steps");
  const summary = h("p.wrong", { role: "alert" });
  const preview = h("div");
  const answer = h("div", { "aria-live": "polite" });

  const group = ([title, open, fields]) =>
    h(
      "details.card",
      { open },
      h("summary", {}, h("h2", {}, title)),
      h(
        "div.fields",
        {},
        Object.entries(fields).map(([name, [label, control, hint]]) => {
          controls[name] = control();
          return field(name, label, controls[name], hint);
        }),
      ),
      title === "Around the socket" && [chain, h("button", { type: "button", onclick: addStep }, "Add a step")],
    );

  function addStep() {
    if (steps.length === STEPS) return say(`A chain has at most ${STEPS} steps.`);
    const step = { channel: choice(Object.keys(CHANNELS)), after: number() };
    const remove = () => {
      steps.splice(steps.indexOf(step), 1);
      step.node.remove();
      draw();
    };
    step.node = h(
      "div.fields",
      { role: "group", "aria-label": "Fallback step" },
      field("channel", "Channel", step.channel),
      field("after", "After, seconds", step.after, "of the first one: from acceptance"),
      h("button", { type: "button", onclick: remove }, "Remove"),
    );
    steps.push(step);
    chain.append(step.node);
    step.channel.focus();
    draw();
  }

  /** The request: only what is given. Throws if `extra` is not JSON. */
  function request() {
    const body = {};
    const headers = {};
    for (const [name, control] of Object.entries(controls)) {
      const value = name === "alert" || name === "smsMessage" ? control.value : control.value.trim();
      if (value === "") continue;
      if (name === "idempotencyKey") headers["idempotency-key"] = value;
      else if (name.includes(".")) {
        const [of, part] = name.split(".");
        body[of] = { ...body[of], [part]: value };
      } else body[name] = converted(name, value);
    }
    body.audiences ??= [];
    if (steps.length)
      body.fallback = steps.map(({ channel, after }) => ({
        channel: channel.value,
        after: numeric(after.value.trim()),
      }));
    return { body, headers };
  }

  function draw() {
    let given;
    try {
      given = request();
    } catch (error) {
      given = { error: error.message };
    }
    show(preview, given, ({ error, body, headers }) =>
      error
        ? h("p.hint", {}, error)
        : h(
            "pre",
            {},
            [
              "POST /v1/messages",
              ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`),
              "",
              JSON.stringify(body, null, 2),
            ].join("\n"),
          ),
    );
  }

  /** The control of a field as the service names it: `audiences[3]`, `fallback[0].after`, `source.product`. */
  function controlOf(name) {
    const step = /^fallback\[(\d+)\](?:\.(\w+))?/.exec(name);
    if (step) return steps[step[1]]?.[step[2] ?? "channel"];
    return controls[name] ?? controls[name.split(/[.[]/)[0]];
  }

  function clear() {
    summary.textContent = "";
    for (const control of [...Object.values(controls), ...steps.flatMap(({ channel, after }) => [channel, after])])
      complain(control, null);
  }

  function refuse(error) {
    const homeless = [];
    const wrong = [];
    for (const { field: name, detail } of error.errors ?? []) {
      const control = controlOf(name);
      if (!control) homeless.push(`${name} ${detail}`);
      else wrong.push([control, controls[name] || name.includes(".after") ? detail : `${name} ${detail}`]);
    }
    for (const [control, detail] of wrong) {
      complain(control, detail);
      control.closest("details").open = true;
    }
    const named = Object.values(controls).concat(steps.flatMap(({ channel, after }) => [channel, after]));
    const first = named.find((control) => control.getAttribute("aria-invalid"));
    summary.textContent = [first ? null : error.message, ...homeless].filter(Boolean).join("; ");
    first?.focus();
  }

  async function submit() {
    clear();
    button.disabled = true;
    try {
      const { body, headers } = request();
      const accepted = await api("POST", "/v1/messages", body, headers);
      remember(accepted.requestId, body.alert);
      show(answer, { ...accepted, at: Date.now() }, described);
    } catch (error) {
      refuse(error);
    } finally {
      button.disabled = false;
    }
  }

  const button = h("button.primary", { type: "submit" }, "Send");
  const filled = form(
    "form",
    { oninput: draw },
    submit,
    GROUPS.map(group),
    h("div.buttons", {}, button, h("button", { type: "reset", onclick: () => setTimeout(reset) }, "Start over")),
    summary,
  );

  function reset() {
    for (const step of steps.splice(0)) step.node.remove();
    clear();
    draw();
  }

  draw();
  // `#/send/alice` writes to alice, `#/send/alice/acme` to alice of the tenant acme.
  const refresh = async (to) => {
    if (to && to !== refresh.to) {
      const [alias, tenant = ""] = to.split("/").map(decodeURIComponent);
      controls.audiences.value = alias;
      controls.tenantCode.value = tenant;
    }
    refresh.to = to;
    draw();
  };
  const aside = h(
    "aside",
    { "aria-label": "The request and its answer" },
    answer,
    h("section.card", {}, h("h2", {}, "The request"), preview),
  );
  return { node: h("div", {}, heading("Send"), h("div.split", {}, filled, aside)), refresh, every: 3_600_000 };
}

function converted(name, value) {
  if (name === "audiences")
    return value
      .split("\n")
      .map((line) => line.trim())
      .filter(Boolean);
  if (NUMBERS.includes(name)) return numeric(value);
  if (name === "persist" || name === "needConfirm") return value === "true";
  if (name === "sendAt") return new Date(value).toISOString();
  return name === "extra" ? json(name, value) : value;
}

function described({ requestId, recipients, ttl, priority, duration, sendAt, downgrades = [] }) {
  return h(
    "section.card.good",
    {},
    h("h2", {}, "Accepted"),
    h("p", {}, h("a", { href: `#/messages/${requestId}` }, "Follow it"), ` – ${requestId}`),
    h(
      "p.hint",
      {},
      [
        `recipients ${recipients}`,
        `ttl ${ttl} s`,
        `priority ${priority}`,
        duration && `duration ${duration} s`,
        sendAt && `at ${sendAt}`,
      ]
        .filter(Boolean)
        .join(", "),
    ),
    downgrades.map(({ field: name, detail }) => h("p.hint", {}, `Note: ${name} ${detail}`)),
  );
}
