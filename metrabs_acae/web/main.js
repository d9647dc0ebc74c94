// The page: what the controls do, and what is shown when.

import { Estimator, intrinsicsOf } from "./estimator.js";
import { drawOverlay } from "./overlay.js";
import { Webcam, readPicture } from "./pictures.js";
import { bonesOf, peopleOf, poseFile } from "./poses.js";
import { View3D, colorOf } from "./view3d.js";

const THRESHOLD = 0.3, OVERLAP = 0.5; // as the demo has them
const $ = id => document.getElementById(id);
const view = new View3D($("space"));
const webcam = new Webcam();
let description, estimator, ready, shown; // shown: {name, canvas, found, fov, intrinsics}

// --- loading -----------------------------------------------------------------------------------------------------
async function load() {
  const answer = await fetch("page.json");
  if (!answer.ok) throw new Error("page.json is missing: open a page that --export --web wrote, from a file server.");
  description = await answer.json();
  const skeletons = $("skeleton");
  for (const name of Object.keys(description.skeletons)) skeletons.add(new Option(name || "all joints", name));
  skeletons.value = description.skeleton;
  $("about").textContent = description.about;
  const device = new URLSearchParams(location.search).get("device") ?? "";
  let loaded = 0;
  estimator = new Estimator(bytes => { $("progress").value = (loaded += bytes) / description.bytes; });
  $("progress").hidden = false;
  const { runtimes, models } = description;
  document.documentElement.dataset.device = await estimator.call("load", { runtimes, models, device });
  $("progress").hidden = true;
}

function say(text, failed = false) {
  $("status").classList.toggle("failed", failed);
  $("status").dataset.of = "";
  if ($("status").textContent !== text) $("status").textContent = text;
}

// --- computing ---------------------------------------------------------------------------------------------------
/** Finds and poses the people of a bitmap, then shows them. */
async function estimate(bitmap, name) {
  const start = performance.now();
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  canvas.getContext("2d").drawImage(bitmap, 0, 0);
  const detected = await estimator.call("detect", { bitmap, threshold: THRESHOLD, overlap: OVERLAP }, [bitmap]);
  await pose({ name, canvas }, detected);
  $("timing").textContent = `Found in ${((performance.now() - start) / 1000).toFixed(2)} s.`;
}

async function pose({ name, canvas }, { boxes, scores }) {
  const fov = Number($("fov").value), intrinsics = intrinsicsOf(fov, canvas.width, canvas.height);
  const poses = await estimator.call("pose", { boxes, intrinsics });
  shown = { name, canvas, fov, intrinsics, found: { boxes, scores, ...poses } };
  show(!webcam.stream);
}

let last = Promise.resolve();
/** One job after the other; what goes wrong is said. @returns whether it went well */
function enqueue(job) {
  last = last.then(() => ready).then(job).then(() => true, error => say(error.message, true));
  return last;
}

// --- showing -----------------------------------------------------------------------------------------------------
/** @param isAnother whether the 3D view is to be centered on the people anew */
function show(isAnother) {
  const { name, canvas, found, intrinsics } = shown, skeleton = description.skeletons[$("skeleton").value];
  const people = peopleOf(found, skeleton), bones = bonesOf(skeleton), size = [canvas.width, canvas.height];
  if ($("picture").width !== size[0] || $("picture").height !== size[1]) [$("picture").width, $("picture").height] = size;
  drawOverlay($("picture"), canvas, people, bones);
  view.show(people.map(p => p.pose3d), bones, { intrinsics, size }, isAnother);
  const count = people.length === 1 ? "1 person" : `${people.length || "no"} people`;
  $("picture").setAttribute("aria-label", `${name}: ${count}, drawn with boxes and skeletons`);
  $("drop-hint").hidden = true;
  $("download").disabled = false;
  fillTable(people);
  say(`${name}: ${count}.`);
  Object.assign($("status").dataset, { of: name, fov: shown.fov });
}

function fillTable(people) {
  const hasErrors = people.some(({ uncertainty }) => uncertainty.some(mm => mm > 0)); // else the model knows none
  $("error-title").hidden = !hasErrors;
  const row = ({ box, score, pose3d, uncertainty }, number) => {
    const distance = Math.hypot(...[0, 1, 2].map(axis => pose3d.reduce((sum, p) => sum + p[axis], 0) / pose3d.length));
    const error = [...uncertainty].sort((a, b) => a - b)[Math.floor(uncertainty.length / 2)];
    const cells = [String(number), score.toFixed(2), `${(distance / 1000).toFixed(1)} m`];
    if (hasErrors) cells.push(`${error.toFixed(0)} mm`);
    cells.push(box.map(Math.round).join(", "));
    const swatch = Object.assign(document.createElement("span"), { className: "swatch" });
    swatch.style.background = colorOf(number);
    const tr = document.createElement("tr");
    cells.forEach(text => (tr.insertCell().textContent = text));
    tr.cells[0].prepend(swatch);
    return tr;
  };
  $("people").tBodies[0].replaceChildren(...people.map(row));
  $("people").hidden = !people.length;
  $("nobody").hidden = people.length > 0;
  $("nobody").textContent = "Nobody was found.";
}

// --- controls ----------------------------------------------------------------------------------------------------
async function openFile(file) {
  if (!file) return;
  stopWebcam();
  say(`${file.name}: looking for people ...`);
  await enqueue(async () => estimate(await readPicture(file), file.name));
}

function stopWebcam() {
  webcam.stop();
  $("webcam").setAttribute("aria-pressed", "false");
  $("webcam").textContent = "Use the webcam";
}

async function toggleWebcam() {
  if (webcam.stream) return stopWebcam();
  say("Starting the webcam ...");
  await enqueue(() => webcam.start());
  if (!webcam.stream) return;
  $("webcam").setAttribute("aria-pressed", "true");
  $("webcam").textContent = "Stop the webcam";
  while (webcam.stream && (await enqueue(async () => webcam.stream && estimate(await webcam.picture(), "Webcam"))));
  stopWebcam();
}

function download() {
  const { name, canvas, found, intrinsics, fov } = shown, skeletonName = $("skeleton").value;
  const skeleton = description.skeletons[skeletonName];
  const size = [canvas.width, canvas.height];
  const text = poseFile({ source: name, size, intrinsics, fov, skeletonName, skeleton, people: peopleOf(found, skeleton) });
  const url = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  Object.assign(document.createElement("a"), { href: url, download: `${name.replace(/\.\w+$/, "")}.json` }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

let fovIsWaiting = false;
function changeFov() {
  $("fov-shown").textContent = `${$("fov").value}°`;
  if (!shown || webcam.stream || fovIsWaiting) return;
  fovIsWaiting = true; // of many changes while the network is busy the last one counts
  enqueue(() => {
    fovIsWaiting = false;
    return pose(shown, shown.found);
  });
}

$("file").addEventListener("change", event => {
  openFile(event.target.files[0]);
  event.target.value = ""; // the same file again is a change too
});
$("webcam").addEventListener("click", toggleWebcam);
$("skeleton").addEventListener("change", () => shown && show(false));
$("fov").addEventListener("input", changeFov);
$("download").addEventListener("click", download);
document.querySelectorAll("[data-view]").forEach(button =>
  button.addEventListener("click", () => view.lookFrom(button.dataset.view))
);
for (const type of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(type, event => {
    event.preventDefault();
    $("drop").classList.toggle("over", type === "dragover");
    if (type === "drop") openFile(event.dataTransfer.files[0]);
  });
}
document.addEventListener("paste", event => openFile(event.clipboardData.files[0]));

say("Loading the networks ...");
ready = load();
const none = last;
ready.then(
  () => {
    if (last !== none) return; // a picture is waiting
    say("Ready: choose a photograph, or use the webcam.");
    enqueue(() => estimator.call("warmUp"));
  },
  error => say(error.message, true)
);
