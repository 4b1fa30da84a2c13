// Without a twin: which deployment is meant.

import { place, remember } from "./api.js";
import { complain, field, form, h, heading } from "./dom.js";
import { api } from "./service.js";

/** Asks in `main` which deployment is meant; `start` goes on with it. */
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
    const told = {
      apiUrl: fields.apiUrl.value.replace(/\/+$/, ""),
      socketUrl: fields.socketUrl.value,
      appKey: fields.appKey.value,
    };
    told.appId = /^td_(.+)\.[^.]+$/.exec(told.appKey)?.[1];
    complain(fields.appKey, told.appId ? null : "is not td_<app>.<43 characters>");
    if (!told.appId) return fields.appKey.focus();
    Object.assign(place, told);
    // A message that does not exist: only who has a key of the app is told so.
    const refused = await api("GET", "/v1/messages/00000000-0000-0000-0000-000000000000").catch((error) => error);
    complain(fields.apiUrl, refused.status ? null : "does not answer, or does not let this page in");
    complain(fields.appKey, refused.status === 401 ? "is not a key of an app there" : null);
    if (refused.status !== 404) return asked.querySelector("[aria-invalid]")?.focus();
    remember(told);
    start();
  };
  const asked = form(
    "form.card.narrow",
    {},
    submit,
    Object.entries(fields).map(([name, input]) => field(name, labels[name], input)),
    h("button.primary", { type: "submit" }, "Connect"),
    h("p.hint", {}, "They stay in this tab and go nowhere else. An app key may send to everyone in the app."),
  );
  main.replaceChildren(heading("Which deployment?"), asked);
}
