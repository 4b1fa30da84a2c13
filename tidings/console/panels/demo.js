// Devices in this page, made with the JavaScript client as any web app would: two, so that one can be away.

import { place } from "../api.js";
import { action, badge, choice, field, form, h, heading, say } from "../dom.js";
import { remember } from "../records.js";
import { Device } from "../vendor/tidings.js";
import { PLATFORMS } from "../wire.js";
import { clock } from "../words.js";
import { api } from "../service.js";

export default { id: "demo", title: "Try it", needs: ["appKey"], build };

/** The most messages that a device shows, and as many announcements. */
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
          "open it again. Or send to both: ",
        h("a", { href: "#/announcements" }, "announce something"),
        ".",
      ),
      h("div.phones", {}, phone("a", "alice"), phone("b", "bob")),
    ),
  };
}

function phone(slot, someone) {
  const registering = registrationForm(slot, someone, begin);
  const screen = screenOf(slot);
  const online = h("span", { role: "status" });
  const name = h("h2", {}, `Device ${slot.toUpperCase()}`);
  const text = h("input", {
    type: "text",
    autocomplete: "off",
    "aria-label": "A message to this user",
    placeholder: "Write a message",
    required: true,
    value: `Hello, ${someone[0].toUpperCase()}${someone.slice(1)}`,
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
    h("button.primary", { type: "submit" }, "Send"),
    away,
    action("Close", end),
  );
  let device = null;

  async function begin() {
    if (!(await registering.isAccepted())) return;
    name.textContent = `Device ${slot.toUpperCase()} of ${registering.alias()}`;
    registering.node.hidden = true;
    use.hidden = false;
    const ack = registering.ack();
    device = new Device({ url: place.socketUrl, registration: registering.register, ack });
    device.on("state", (change) => showState(online, change));
    device.on("message", (message) => screen.add(bubble(message, () => device, ack === "manual")));
    device.on("announcement", (announcement) => screen.announce(banner(announcement)));
    device.on("gap", () => screen.notice("Messages may be missing: the mailbox does not reach back that far."));
    device.on("error", (error) => screen.notice(`${error.code ?? error.name}: ${error.message}`));
    device.start();
    text.focus();
  }

  async function end() {
    await device.close();
    device = null;
    use.hidden = true;
    registering.node.hidden = false;
    registering.focus();
  }

  function look(isAway) {
    device.setState(isAway ? "background" : "foreground");
    away.setAttribute("aria-pressed", String(isAway));
  }

  async function sendTo() {
    const alert = text.value.trim();
    if (!alert) {
      say("Write something to send.");
      return text.focus();
    }
    text.value = "";
    await api("POST", "/v1/messages", { audiences: [registering.alias()], alert }).then(
      ({ requestId }) => remember(requestId, alert),
      (error) => say(error.message),
    );
  }

  return h(
    "section.card.phone",
    { "aria-label": `Device ${slot}` },
    h("div.heading", {}, name, h("div.beside", {}, online)),
    registering.node,
    screen.nodes,
    use,
  );
}

/** The form that opens a device: its user, its platform, and how it acknowledges. */
function registrationForm(slot, someone, begin) {
  const alias = h("input", { type: "text", value: someone, required: true, autocomplete: "off" });
  const platform = choice(["WEB", ...PLATFORMS.filter((it) => it !== "WEB")]);
  const ack = choice([
    ["automatic", "by itself"],
    ["manual", "by hand"],
  ]);
  const mobile = h("input", { type: "tel", autocomplete: "off", placeholder: "+8613800138000" });
  const email = h("input", { type: "email", autocomplete: "off", placeholder: "alice@example.com" });
  const open = h("button.primary", { type: "submit" }, "Open the device");
  const node = form(
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

  const register = () =>
    api("POST", "/v1/devices", {
      appId: place.appId,
      alias: alias.value.trim(),
      platform: platform.value,
      nativeToken: nativeToken(slot),
      clientVersion: "console",
      ...(mobile.value.trim() && { mobile: mobile.value.trim() }),
      ...(email.value.trim() && { email: email.value.trim() }),
    });

  /** Registers once to show an error at once; the client registers again when it starts and if its keys are refused. */
  async function isAccepted() {
    open.disabled = true;
    try {
      await register();
      return true;
    } catch (error) {
      say(error.message);
      return false;
    } finally {
      open.disabled = false;
    }
  }

  return {
    node,
    register,
    isAccepted,
    alias: () => alias.value.trim(),
    ack: () => ack.value,
    focus: () => open.focus(),
  };
}

/** The device's native token: one for each tab and slot, so that it stays the same device. */
function nativeToken(slot) {
  const key = `tidings-console-device-${slot}`;
  const token = sessionStorage.getItem(key) ?? `console-${slot}-${crypto.randomUUID()}`;
  sessionStorage.setItem(key, token);
  return token;
}

/** The frames of a device: messages, oldest first, and announcements above them, newest first. */
function screenOf(slot) {
  const messages = h("ol.screen", { "aria-live": "polite", "aria-label": `What has come to device ${slot}` });
  const everyone = h("ol.screen.everyone", {
    "aria-live": "polite",
    "aria-label": `Announcements on device ${slot}`,
  });

  function add(item) {
    messages.append(item);
    while (messages.children.length > SHOWN) messages.firstChild.remove();
    messages.scrollTop = messages.scrollHeight;
  }

  function announce(item) {
    everyone.prepend(item);
    while (everyone.children.length > SHOWN) everyone.lastChild.remove();
  }

  return { nodes: [everyone, messages], add, announce, notice: (text) => add(h("li.notice", {}, text)) };
}

function showState(node, { state, reason, retryIn }) {
  const text = state === "waiting" && retryIn ? `waiting ${Math.ceil(retryIn / 1_000)} s` : state;
  node.replaceChildren(badge(state, text));
  if (reason) node.title = String(reason);
}

/**
 * A message, with buttons to acknowledge and to read it if it has a position in the mailbox. `device` returns the
 * device that is open at that moment, if there is one.
 */
function bubble(message, device, byHand) {
  const done = (name, work) => (event) => {
    work();
    event.currentTarget.replaceWith(h("span.hint", {}, name));
  };
  const button = (text, name, work) => h("button", { type: "button", onclick: done(name, work) }, text);
  return h(
    "li.bubble",
    { "data-message": message.id },
    content(message),
    h(
      "div.under",
      {},
      h("time", {}, clock(Date.now())),
      message.seq && `no. ${message.seq}`,
      byHand && message.seq && button("Ack", "acknowledged", () => device()?.ack(message)),
      message.seq && button("Read", "read", () => device()?.read(message)),
      h("a", { href: `#/messages/${message.id}` }, "Trail"),
    ),
  );
}

/** An announcement has neither a position in the mailbox nor a trail. */
function banner(announcement) {
  const about = ["to everyone", announcement.category].filter(Boolean).join(" · ");
  return h(
    "li.bubble",
    { "data-announcement": announcement.id },
    content(announcement),
    h("div.under", {}, h("time", {}, clock(Date.now())), about),
  );
}

/** The visible content of both. */
const content = ({ sender, alert, extra }) => [
  sender && h("strong", {}, sender),
  h("p", {}, alert ?? JSON.stringify(extra)),
];
