// Without a twin: a form that asks for the deployment.

import { place, remember } from "./api.js";
import { complain, field, form, h, heading } from "./dom.js";
import { api } from "./service.js";

/** Asks in `main` for the deployment, and calls `start` with it. */
export function connect(main, start) {
  const fields = {
    apiUrl: h("input", {
      type: "url",
      required: true,
      placeholder: "https://….execute-api.eu-central-1.amazonaws.com",
    }),
    socketUrl: h("input", {
      type: "url",
      required: true,
      placeholder: "wss://….execute-api.eu-central-1.amazonaws.com/prod",
    }),
    appKey: h("input", { type: "password", required: true, autocomplete: "off", placeholder: "td_…" }),
  };
  const labels = { apiUrl: "HTTP API", socketUrl: "WebSocket API", appKey: "App key" };
  const submit = async () => {
    const given = {
      apiUrl: fields.apiUrl.value.replace(/\/+$/, ""),
      socketUrl: fields.socketUrl.value,
      appKey: fields.appKey.value,
    };
    given.appId = /^td_(.+)\.[^.]+$/.exec(given.appKey)?.[1];
    complain(fields.appKey, given.appId ? null : "is not td_<app>.<43 characters>");
    if (!given.appId) return fields.appKey.focus();
    Object.assign(place, given);
    // A message that does not exist: the service answers 404 only to a key of the app.
    const refused = await api("GET", "/v1/messages/00000000-0000-0000-0000-000000000000").catch((error) => error);
    complain(fields.apiUrl, refused.status ? null : "does not answer, or does not let this page in");
    complain(fields.appKey, refused.status === 401 ? "is not a key of an app there" : null);
    if (refused.status !== 404) return asked.querySelector("[aria-invalid]")?.focus();
    remember(given);
    start();
  };
  const asked = form(
    "form.card.narrow",
    {},
    submit,
    Object.entries(fields).map(([name, input]) => field(name, labels[name], input)),
    h("button.primary", { type: "submit" }, "Connect"),
    h(
      "p.hint",
      {},
      "They stay in this tab and are sent only to the deployment. An app key may send to everyone in the app.",
    ),
  );
  main.replaceChildren(heading("Which deployment?"), asked);
}
