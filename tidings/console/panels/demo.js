// Devices in this page, made with the JavaScript client as any web app would: two, so that one can be away.

import { api, place } from "../api.js";
import { action, badge, choice, field, form, h, heading, say } from "../dom.js";
import { remember } from "../records.js";
import { Device } from "../vendor/tidings.js";
import { PLATFORMS } from "../wire.js";
import { clock } from "../words.js";

export default { id: "demo", title: "Try it", needs: ["app"], build };

/** Messages that a device keeps on show, and as many announcements. */
const SHOWN = 50;

function build() {
  return {
    node: h(
      "div",
      {},
      heading("Try it"),
      h(
        "p.hint",
        {},
        "Each is a real device: it registers, connects, opens sealed frames and acknowledges. Close one, send, and " +
          "open it again. Or tell both the same: ",
        h("a", { href: "#/announcements" }, "announce something"),
        ".",
      ),
      h("div.phones", {}, phone("a", "alice"), phone("b", "bob")),
    ),
  };
}

function phone(slot, someone) {
  const alias = h("input", { type: "text", value: someone, required: true, autocomplete: "off" });
  const platform = choice(["WEB", ...PLATFORMS.filter((it) => it !== "WEB")]);
  const ack = choice([
    ["automatic", "by itself"],
    ["manual", "by hand"],
  ]);
  const mobile = h("input", { type: "tel", autocomplete: "off", placeholder: "+8613800138000" });
  const email = h("input", { type: "email", autocomplete: "off", placeholder: "alice@example.com" });
  const online = h("span", { role: "status" });
  const screen = h("ol.screen", { "aria-live": "polite", "aria-label": `What has come to device ${slot}` });
  const everyone = h("ol.screen.everyone", {
    "aria-live": "polite",
    "aria-label": `Announcements on device ${slot}`,
  });
  const name = h("h2", {}, `Device ${slot.toUpperCase()}`);
  let device = null;

  const open = h("button.primary", { type: "submit" }, "Open the device");
  const setup = form(
    "form",
    { "aria-label": `Device ${slot}` },
    begin,
    h(
      "div.fields",
      {},
      field("alias", "User", alias),
      field("platform", "Platform", platform),
      field("ack", "Acknowledges", ack),
    ),
    h(
      "details",
      {},
      h("summary", {}, "Where else to reach the user"),
      h("div.fields", {}, field("mobile", "Phone number", mobile, "for SMS"), field("email", "Email", email)),
    ),
    open,
  );
  const text = h("input", {
    type: "text",
    autocomplete: "off",
    "aria-label": "A message to this user",
    placeholder: "Say something",
  });
  const away = h(
    "button",
    { type: "button", "aria-pressed": "false", onclick: () => look(away.getAttribute("aria-pressed") !== "true") },
    "In background",
  );
  const use = form(
    "form.use",
    { hidden: true },
    sendTo,
    text,
    h("button", { type: "submit" }, "Send"),
    away,
    action("Close", end),
  );

  /** The device's own token: the same one in this tab, so that it stays the same device. */
  function nativeToken() {
    const key = `tidings-console-device-${slot}`;
    const token = sessionStorage.getItem(key) ?? `console-${slot}-${crypto.randomUUID()}`;
    sessionStorage.setItem(key, token);
    return token;
  }

  const registration = () =>
    api("POST", "/v1/devices", {
      appId: place.appId,
      alias: alias.value.trim(),
      platform: platform.value,
      nativeToken: nativeToken(),
      clientVersion: "console",
      ...(mobile.value.trim() && { mobile: mobile.value.trim() }),
      ...(email.value.trim() && { email: email.value.trim() }),
    });

  async function begin() {
    open.disabled = true;
    try {
      // Once here, to say at once what is wrong; and by the client, when it starts and where its keys are refused.
      await registration();
    } catch (error) {
      return say(error.message);
    } finally {
      open.disabled = false;
    }
    name.textContent = `Device ${slot.toUpperCase()} of ${alias.value.trim()}`;
    setup.hidden = true;
    use.hidden = false;
    device = new Device({ url: place.socketUrl, registration, ack: ack.value });
    device.on("state", ({ state, reason, retryIn }) => {
      online.replaceChildren(
        badge(state, state === "waiting" && retryIn ? `waiting ${Math.ceil(retryIn / 1_000)} s` : state),
      );
      if (reason) online.title = String(reason);
    });
    device.on("message", (message) => add(bubble(message)));
    device.on("announcement", (announcement) => tell(banner(announcement)));
    device.on("gap", () =>
      add(h("li.notice", {}, "Something may be missing: the mailbox does not reach back that far.")),
    );
    device.on("error", (error) => add(h("li.notice", {}, `${error.code ?? error.name}: ${error.message}`)));
    device.start();
    text.focus();
  }

  async function end() {
    await device.close();
    device = null;
    use.hidden = true;
    setup.hidden = false;
    open.focus();
  }

  function look(isAway) {
    device.setState(isAway ? "background" : "foreground");
    away.setAttribute("aria-pressed", String(isAway));
  }

  async function sendTo() {
    const alert = text.value.trim();
    if (!alert) return;
    text.value = "";
    await api("POST", "/v1/messages", { audiences: [alias.value.trim()], alert }).then(
      ({ requestId }) => remember(requestId, alert),
      (error) => say(error.message),
    );
  }

  function add(item) {
    screen.append(item);
    while (screen.children.length > SHOWN) screen.firstChild.remove();
    screen.scrollTop = screen.scrollHeight;
  }

  /** The newest banner comes first: it pushes the others down. */
  function tell(item) {
    everyone.prepend(item);
    while (everyone.children.length > SHOWN) everyone.lastChild.remove();
  }

  function bubble(message) {
    const done = (name, work) => (event) => {
      work();
      event.currentTarget.replaceWith(h("span.hint", {}, name));
    };
    const byHand = ack.value === "manual";
    return h(
      "li.bubble",
      { "data-message": message.id },
      content(message),
      h(
        "div.under",
        {},
        h("time", {}, clock(Date.now())),
        message.seq && `no. ${message.seq}`,
        byHand &&
          message.seq &&
          h("button", { type: "button", onclick: done("acknowledged", () => device?.ack(message)) }, "Ack"),
        message.seq && h("button", { type: "button", onclick: done("read", () => device?.read(message)) }, "Read"),
        h("a", { href: `#/messages/${message.id}` }, "Trail"),
      ),
    );
  }

  return h(
    "section.card.phone",
    { "aria-label": `Device ${slot}` },
    h("div.heading", {}, name, h("div.beside", {}, online)),
    setup,
    everyone,
    screen,
    use,
  );
}

/** An announcement has neither a place in the mailbox nor a trail. */
function banner(announcement) {
  const about = ["to everyone", announcement.category].filter(Boolean).join(" · ");
  return h(
    "li.bubble",
    { "data-announcement": announcement.id },
    content(announcement),
    h("div.under", {}, h("time", {}, clock(Date.now())), about),
  );
}

/** What is shown of both. */
const content = ({ sender, alert, extra }) => [
  sender && h("strong", {}, sender),
  h("p", {}, alert ?? JSON.stringify(extra)),
];
