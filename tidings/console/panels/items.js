// An item that messages are about: whether it is open. `#/items/order:4711` shows that one.

import { field, form, h, heading, show } from "../dom.js";
import { clear, refuse, segment, text } from "../forms.js";
import { moment } from "../words.js";
import { api } from "../service.js";

export default { id: "items", title: "Items", needs: ["appKey"], build };

function build() {
  const item = text({ required: true, placeholder: "order:4711", "data-named": "item" });
  const tenant = text({ "data-named": "tenantCode" });
  const summary = h("p.wrong", { role: "alert" });
  const shown = h("div", { "aria-live": "polite" });

  /** Sets whether the item is open; without an argument, reads it. */
  async function ask(open) {
    const query = tenant.value ? `?tenantCode=${encodeURIComponent(tenant.value)}` : "";
    clear([item, tenant], summary);
    try {
      const path = `/v1/items/${segment("item", item.value)}${query}`;
      show(shown, open === undefined ? await api("GET", path) : await api("PUT", path, { open }), described);
    } catch (error) {
      shown.replaceChildren();
      refuse(error, [item, tenant], summary);
    }
  }

  function described({ item: name, open, closedAt }) {
    const state = open
      ? "Open: messages about it go on."
      : `Closed since ${moment(closedAt)}: no further fallback goes out.`;
    const other = h("button", { type: "button", onclick: () => ask(!open) }, open ? "Close it" : "Open it again");
    return h("section.card", { "aria-label": name }, h("h2", {}, name), h("p", {}, state), h("div.buttons", {}, other));
  }

  const asked = form(
    "form.card",
    {},
    () => ask(),
    h("div.fields", {}, field("item", "Item", item), field("tenantCode", "Tenant", tenant, "if there is one")),
    h("div.buttons", {}, h("button", { type: "submit" }, "Show")),
  );
  const refresh = async (to) => {
    if (!to || to === refresh.to) return;
    refresh.to = to;
    item.value = decodeURIComponent(to);
    await ask();
  };
  const hint =
    "If a message has the condition that an item is open, it sends no further fallback step once the item is closed.";
  const node = h("div", {}, heading("Items"), h("p.hint", {}, hint), asked, summary, shown);
  return { node, refresh, every: 3_600_000 };
}
