// What the pages gain from a script; without it the forms work by themselves.
"use strict";

const SLOW_MS = 15000; // after which a wait is called long
const MOST_TRIES = 5; // of a layer, while the server is busy
const SIDE = 200; // longer side of the copy that hints are taken from, pixels
const FEWEST_PIXELS = 300; // of a photo's shorter side

/** Texts in the page's language, filled as the server's Translator fills them. */
class Texts {
  constructor(texts) {
    this.texts = texts;
  }

  text(key, values = {}) {
    const found = this.texts[key] ?? this.texts[`${key}.${values.count === 1 ? "one" : "other"}`];
    return found.replace(/\{(\w+)\}/g, (_, name) => {
      const value = values[name];
      if (typeof value === "number") {
        return String(value).replace(/[0-9]/g, (digit) => this.texts.digits[digit]);
      }
      return `\u2068${value}\u2069`; // isolates of UAX 9, for names of either direction
    });
  }
}

function make(tag, text, kind) {
  const element = document.createElement(tag);
  element.textContent = text ?? "";
  if (kind) element.className = kind;
  return element;
}

/** Keys of hints on a photo, from a small copy of its pixels. They are rough: the server decides. */
function hintsOf(image) {
  const sides = [image.naturalWidth, image.naturalHeight];
  const scale = Math.min(1, SIDE / Math.max(...sides));
  const [width, height] = sides.map((side) => Math.max(3, Math.round(side * scale)));
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(image, 0, 0, width, height);
  const { data } = context.getImageData(0, 0, width, height);
  const grey = new Float32Array(width * height);
  for (let i = 0; i < grey.length; i++) {
    grey[i] = (0.299 * data[4 * i] + 0.587 * data[4 * i + 1] + 0.114 * data[4 * i + 2]) / 255;
  }
  const found = lightHints(grey);
  if (isBlurred(grey, width, height)) found.unshift("hint.blurred");
  if (Math.min(...sides) < FEWEST_PIXELS) found.push("hint.small");
  if (!found.length && spotShare(grey, width, height) < 0.005) found.push("hint.far");
  return found;
}

function lightHints(grey) {
  const sorted = Float32Array.from(grey).sort();
  const share = (test) => grey.reduce((sum, value) => sum + test(value), 0) / grey.length;
  const found = [];
  if (share((value) => value < 0.12) > 0.6) found.push("hint.dark");
  if (share((value) => value > 0.96) > 0.25) found.push("hint.bright");
  const at = (part) => sorted[Math.floor(part * (sorted.length - 1))];
  const contrast = at(0.998) - at(0.002); // a spot in the distance is less than 1 % of a photo
  if (contrast < 0.08) found.push("hint.low_contrast");
  return found;
}

/** Whether the steps between neighbours are hardly stronger than those between pixels two apart. */
function isBlurred(grey, width, height) {
  let near = 0;
  let far = 0;
  for (let y = 0; y < height; y++) {
    for (let x = 2; x < width - 2; x++) {
      const i = y * width + x;
      near += (grey[i + 1] - grey[i]) ** 2;
      far += (grey[i + 2] - grey[i - 2]) ** 2;
    }
  }
  return far > 0 && near / far < 0.085; // a ramp over many pixels gives 1/16, a sharp step 1/4
}

/** Share of the photo that is clearly darker than the rest of it, near the middle. */
function spotShare(grey, width, height) {
  const sorted = Float32Array.from(grey).sort();
  const middle = sorted[Math.floor(sorted.length / 2)];
  const limit = (middle + sorted[Math.floor(0.002 * sorted.length)]) / 2;
  let dark = 0;
  for (let y = Math.floor(height / 8); y < (7 * height) / 8; y++) {
    for (let x = Math.floor(width / 8); x < (7 * width) / 8; x++) {
      if (grey[y * width + x] < limit) dark++;
    }
  }
  return dark / grey.length;
}

/** The photos of one form: chosen, dropped, pasted or taken, shown and handed to the file input. */
class PhotoField {
  constructor(root) {
    this.root = root;
    this.texts = new Texts(JSON.parse(root.dataset.texts));
    this.files = [];
    this.input = root.querySelector("#photos");
    this.list = root.querySelector("[data-previews]");
    this.status = root.querySelector("[data-photo-status]");
    root.classList.add("scripted");
    root.querySelector("[data-drop-text]").hidden = false;
    for (const input of root.querySelectorAll("input[type=file]")) {
      input.addEventListener("change", () => {
        const chosen = [...input.files];
        if (input !== this.input) input.value = "";
        this.add(chosen);
      });
    }
    this.takeDrops();
    this.takePastes();
    this.camera = Camera.of(this);
    root.closest("form").addEventListener("reset", () => setTimeout(() => this.keep([])));
  }

  takeDrops() {
    const zone = this.root.querySelector("[data-drop]");
    const text = this.root.querySelector("[data-drop-text]");
    const rest = text.textContent;
    const over = (on) => {
      zone.classList.toggle("over", on);
      text.textContent = on ? zone.dataset.now : rest;
    };
    zone.addEventListener("dragover", (event) => {
      event.preventDefault();
      over(true);
    });
    zone.addEventListener("dragleave", () => over(false));
    zone.addEventListener("drop", (event) => {
      event.preventDefault();
      over(false);
      this.add([...event.dataTransfer.files]);
    });
  }

  takePastes() {
    document.addEventListener("paste", (event) => {
      if (event.target.matches("textarea, input[type=text]")) return;
      const files = [...event.clipboardData.files];
      if (files.length) this.add(files);
      else this.say("script.paste_empty");
    });
  }

  add(files) {
    const said = [];
    const taken = [];
    for (const file of files) {
      if (file.type && !file.type.startsWith("image/")) {
        said.push(this.texts.text("script.not_photo", { name: file.name }));
      } else if (file.size > Number(this.root.dataset.bytes)) {
        const limit = this.root.dataset.limit;
        said.push(this.texts.text("script.too_large", { name: file.name, limit }));
      } else {
        taken.push(file);
      }
    }
    const all = [...this.files, ...taken];
    const most = Number(this.root.dataset.left);
    if (all.length > most) said.push(this.texts.text("script.too_many"));
    this.keep(all.slice(0, most));
    this.status.textContent = [this.status.textContent, ...said].join(" ");
  }

  say(key, values) {
    this.status.textContent = this.texts.text(key, values);
  }

  keep(files) {
    this.files = files;
    const moved = new DataTransfer();
    for (const file of files) moved.items.add(file);
    this.input.files = moved.files;
    for (const image of this.list.querySelectorAll("img")) URL.revokeObjectURL(image.src);
    this.list.replaceChildren(...files.map((file, k) => this.preview(file, k + 1)));
    this.list.hidden = !files.length;
    if (files.length) this.say("script.added", { count: files.length });
    else this.say("script.none");
  }

  preview(file, number) {
    const item = make("li");
    const image = make("img");
    image.alt = this.texts.text("script.preview", { number, name: file.name });
    const hint = make("p", this.texts.text("hint.checking"));
    const remove = make("button", this.texts.text("script.remove", { number }), "quiet");
    remove.type = "button";
    remove.addEventListener("click", () => {
      this.keep(this.files.filter((other) => other !== file));
      this.say("script.removed", { number });
      this.input.focus();
    });
    image.addEventListener("load", () => this.hint(hint, hintsOf(image)));
    image.addEventListener("error", () => {
      // HEIC, for one, is shown by few browsers and read by the server all the same.
      image.hidden = true;
      hint.textContent = file.name;
    });
    image.src = URL.createObjectURL(file);
    item.append(image, hint, remove);
    return item;
  }

  hint(place, keys) {
    place.className = keys.length ? "bad" : "";
    const said = keys.length ? [...keys, "hint.still_usable"] : ["hint.good"];
    place.textContent = said.map((key) => this.texts.text(key)).join(" ");
  }
}

/** The computer's camera behind a framing ring. Phones offer their own through the file input. */
class Camera {
  static of(field) {
    const opener = field.root.querySelector("[data-camera-open]");
    if (matchMedia("(pointer: coarse)").matches) return null;
    field.root.querySelector("[data-camera-file]").hidden = true;
    opener.hidden = false;
    return new Camera(field, opener.querySelector("button"));
  }

  constructor(field, opener) {
    this.field = field;
    this.dialog = field.root.querySelector("[data-camera]");
    this.video = this.dialog.querySelector("video");
    this.status = this.dialog.querySelector("[data-camera-status]");
    this.facing = "environment";
    opener.addEventListener("click", () => this.open());
    this.dialog.querySelector("[data-shoot]").addEventListener("click", () => this.shoot());
    this.dialog.querySelector("[data-close]").addEventListener("click", () => this.dialog.close());
    this.dialog.querySelector("[data-switch]").addEventListener("click", () => {
      this.facing = this.facing === "environment" ? "user" : "environment";
      this.start();
    });
    this.dialog.addEventListener("close", () => this.stop());
  }

  open() {
    if (!navigator.mediaDevices?.getUserMedia) {
      this.field.say("script.camera_insecure");
      return;
    }
    this.dialog.showModal();
    this.start();
  }

  async start() {
    this.stop();
    this.status.textContent = this.field.texts.text("camera.starting");
    try {
      const video = { facingMode: this.facing, width: { ideal: 1920 } };
      const stream = await navigator.mediaDevices.getUserMedia({ video });
      this.video.srcObject = stream;
      if (!this.dialog.open) this.stop(); // it was closed while the camera started
      else await this.video.play();
      this.status.textContent = "";
    } catch (error) {
      const denied = error.name === "NotAllowedError";
      this.dialog.close();
      this.field.say(denied ? "script.camera_denied" : "script.camera_missing");
    }
  }

  stop() {
    for (const track of this.video.srcObject?.getTracks() ?? []) track.stop();
    this.video.srcObject = null;
  }

  shoot() {
    if (!this.video.videoWidth) return;
    const canvas = document.createElement("canvas");
    canvas.width = this.video.videoWidth;
    canvas.height = this.video.videoHeight;
    canvas.getContext("2d").drawImage(this.video, 0, 0);
    canvas.toBlob(
      (blob) => {
        this.field.add([new File([blob], "camera.jpg", { type: "image/jpeg" })]);
        this.dialog.close();
      },
      "image/jpeg",
      0.95,
    );
  }
}

/** Sends a form with photos without leaving the page, so that an error loses nothing. */
function sendInPlace(form, field) {
  const problem = form.querySelector("[data-problem]");
  const status = form.querySelector("[data-status]");
  const button = form.querySelector("button[type=submit]");
  const fail = (...nodes) => {
    problem.replaceChildren(...nodes);
    problem.hidden = false;
    problem.focus();
  };
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    problem.hidden = true;
    status.textContent = button.dataset.working;
    button.disabled = true;
    const slow = setTimeout(() => (status.textContent = field.texts.text("script.slow")), SLOW_MS);
    try {
      const answer = await fetch(form.action, { method: "POST", body: new FormData(form) });
      if (answer.ok) {
        location.assign(answer.url);
        return; // the button stays off until the result is there
      }
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      fail(...page.querySelectorAll("#problem > p"));
    } catch {
      fail(make("p", field.texts.text("script.offline")));
    } finally {
      clearTimeout(slow);
    }
    status.textContent = "";
    button.disabled = false;
  });
  addEventListener("pageshow", () => (button.disabled = false));
}

/** Loads an image again once a busy server has room; false if it failed for another reason. */
async function tryAgain(image) {
  const tries = Number(image.dataset.tries ?? 0);
  const answer = tries < MOST_TRIES && (await fetch(image.src).catch(() => null));
  if (!answer || answer.status !== 503) return false;
  image.dataset.tries = tries + 1;
  const wait = Number(answer.headers.get("Retry-After")) || 1;
  setTimeout(() => (image.src = image.src), 1000 * wait);
  return true;
}

/** Says what happens while a layer is drawn, and lets its strength be chosen. */
function followLayers(shot) {
  const status = shot.querySelector("[data-layer-status]");
  const strength = shot.querySelector("[data-strength]");
  let chosen = null;
  const settle = (image) => {
    if (image !== chosen || !image.complete) return;
    const failed = image.dataset.layer === "outline" ? "none" : "failed";
    status.textContent = image.naturalWidth ? "" : status.dataset[failed];
  };
  for (const image of shot.querySelectorAll("[data-layer]")) {
    image.addEventListener("load", () => settle(image));
    image.addEventListener("error", async () => (await tryAgain(image)) || settle(image));
  }
  shot.addEventListener("change", (event) => {
    if (event.target.type !== "radio") return;
    chosen = shot.querySelector(`[data-layer="${event.target.value}"]`);
    strength.hidden = chosen === null;
    status.textContent = "";
    if (chosen === null) return;
    chosen.loading = "eager";
    if (chosen.complete && chosen.naturalWidth) return;
    const drawn = chosen.dataset.layer === "outline" ? "loading" : "working";
    status.textContent = status.dataset[drawn];
  });
  strength.querySelector("input").addEventListener("input", (event) => {
    for (const image of shot.querySelectorAll("[data-layer]")) {
      image.style.opacity = event.target.value / 100;
    }
  });
}

/** Measures in their place; they are computed when somebody opens them. */
function loadMeasures(details) {
  details.addEventListener("toggle", async () => {
    const place = details.querySelector("div");
    if (!details.open || place.dataset.loaded) return;
    const answer = await fetch(details.dataset.measures).catch(() => null);
    if (!answer) return; // the link is still there
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    place.replaceChildren(...page.querySelectorAll(answer.ok ? "#measures > *" : "#problem > p"));
    if (answer.ok) place.dataset.loaded = "true";
  });
}

for (const form of document.querySelectorAll("[data-form]")) {
  sendInPlace(form, new PhotoField(form.querySelector("[data-photos]")));
}
document.querySelectorAll("[data-shot]").forEach(followLayers);
document.querySelectorAll("[data-measures]").forEach(loadMeasures);
for (const button of document.querySelectorAll("[data-print]")) {
  button.hidden = false;
  button.addEventListener("click", () => print());
}
