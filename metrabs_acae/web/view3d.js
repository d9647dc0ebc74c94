// Poses in space on a 2D canvas: perspective, floor, the camera; turned by pointer, keyboard or buttons.
// Coordinates are the camera's: x right, y down, z forward, mm.

const NEAR_MM = 50, GRID_MM = 500;
const ANGLES = { camera: [0, 0], free: [0.6, 0.3], side: [Math.PI / 2, 0], above: [0, 1.55] };
const KEYS = {
  ArrowLeft: view => view.turn(0.1, 0),
  ArrowRight: view => view.turn(-0.1, 0),
  ArrowUp: view => view.turn(0, 0.1),
  ArrowDown: view => view.turn(0, -0.1),
  "+": view => view.zoom(1 / 1.15),
  "=": view => view.zoom(1 / 1.15),
  "-": view => view.zoom(1.15),
  "0": view => view.lookFrom("free"),
};

/** "#rrggbb" of a person's number, as in the drawings of the demo. */
export function colorOf(number) {
  const hue = (0.08 + (number % 24) * 0.381966) % 1;
  const channel = shift => {
    const k = (shift + hue * 6) % 6;
    return Math.round(255 * (1 - 0.85 * Math.max(0, Math.min(k, 4 - k, 1))));
  };
  return "#" + [5, 3, 1].map(shift => channel(shift).toString(16).padStart(2, "0")).join("");
}

/** A colour halfway to white: left limbs. */
export function pale(color) {
  return "#" + [1, 3, 5].map(i => Math.round((255 + parseInt(color.slice(i, i + 2), 16)) / 2).toString(16)).join("");
}

export class View3D {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.yaw = 0;
    this.pitch = 0;
    this.poses = [];
    this.bones = [];
    this.measure();
    this.lookFrom("free");
    new ResizeObserver(() => this.draw()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
    this.listen();
  }

  /**
   * @param poses list of [x, y, z][] mm
   * @param bones list of {a, b, left}: joint numbers, and whether it is a limb of the left side
   * @param camera {intrinsics: [fx, fy, cx, cy], size: [width, height]} px
   * @param isAnother whether the view is to be centered anew; it is, too, where the people have left it
   */
  show(poses, bones, camera, isAnother) {
    const isFirst = !this.poses.length;
    Object.assign(this, { poses, bones, camera });
    if (poses.length) {
      this.measure();
      const moved = Math.hypot(...this.middle.map((value, axis) => value - this.target[axis]));
      if (isFirst || isAnother || this.name === "camera" || moved > this.distance / 3) this.center();
    }
    this.draw();
  }

  measure() {
    const points = this.poses.flat();
    const along = axis => points.map(p => p[axis]).sort((p, q) => p - q);
    const at = (sorted, share) => sorted[Math.round(share * (sorted.length - 1))];
    const sorted = points.length ? [0, 1, 2].map(along) : [[-900, 900], [-1000, 1000], [2500, 4500]];
    this.low = sorted.map(values => at(values, 0.01));
    this.high = sorted.map(values => at(values, 0.99));
    this.middle = this.low.map((low, axis) => (low + this.high[axis]) / 2);
    this.floor = this.high[1];
  }

  center() {
    const extent = Math.max(1500, Math.hypot(...this.low.map((low, axis) => this.high[axis] - low)));
    const depth = this.middle[2];
    [this.target, this.distance] = this.name === "camera" ? [[0, 0, depth], depth] : [this.middle, extent * 1.5];
  }

  lookFrom(name) {
    this.name = name;
    [this.yaw, this.pitch] = ANGLES[name];
    this.center();
    this.draw();
  }

  turn(yaw, pitch) {
    if (this.name === "camera") this.lookFrom("free");
    this.name = "free";
    this.yaw += yaw;
    this.pitch = Math.max(-1.55, Math.min(1.55, this.pitch + pitch));
    this.draw();
  }

  zoom(factor) {
    if (this.name === "camera") this.lookFrom("free");
    this.distance = Math.max(300, Math.min(1e5, this.distance * factor));
    this.draw();
  }

  /** In the viewer's frame. */
  turned(p) {
    const [x, y, z] = p.map((value, axis) => value - this.target[axis]);
    const [cy, sy, cp, sp] = [Math.cos(this.yaw), Math.sin(this.yaw), Math.cos(this.pitch), Math.sin(this.pitch)];
    const forward = sy * x + cy * z;
    return [cy * x - sy * z, cp * y - sp * forward, sp * y + cp * forward + this.distance];
  }

  lens(width, height) {
    if (this.name !== "camera" || !this.camera) return { focal: 1.2 * Math.min(width, height), x: width / 2, y: height / 2 };
    const { intrinsics: [focal, , cx, cy], size: [w, h] } = this.camera;
    const scale = Math.min(width / w, height / h);
    return { focal: focal * scale, x: width / 2 + (cx - (w - 1) / 2) * scale, y: height / 2 + (cy - (h - 1) / 2) * scale };
  }

  draw() {
    const { canvas, context } = this, ratio = window.devicePixelRatio || 1;
    const width = canvas.clientWidth, height = canvas.clientHeight;
    if (!width || !height) return;
    [canvas.width, canvas.height] = [Math.round(width * ratio), Math.round(height * ratio)];
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.lineCap = "round";
    const lens = this.lens(width, height);
    const line = (a, b) => this.line(lens, this.turned(a), this.turned(b));
    this.drawFloor(line);
    if (this.name !== "camera" && this.camera) this.drawCamera(line);
    const parts = this.poses.flatMap((pose, person) =>
      this.bones.map(({ a, b, left }) => {
        const [p, q] = [this.turned(pose[a]), this.turned(pose[b])];
        return { p, q, depth: (p[2] + q[2]) / 2, color: left ? pale(colorOf(person)) : colorOf(person) };
      })
    );
    for (const { p, q, depth, color } of parts.sort((a, b) => b.depth - a.depth)) {
      const thickness = Math.min(20, Math.max(3, (lens.focal * 36) / Math.max(depth, NEAR_MM)));
      for (const [style, extra] of [["#3338", 1.5], [color, 0]]) {
        [context.strokeStyle, context.lineWidth] = [style, thickness + extra];
        this.line(lens, p, q);
      }
    }
  }

  /** Between points of the viewer's frame, cut off at the viewer. */
  line(lens, p, q) {
    if (!(Math.max(p[2], q[2]) > NEAR_MM)) return;
    if (p[2] > q[2]) [p, q] = [q, p];
    if (p[2] < NEAR_MM) {
      const share = (NEAR_MM - p[2]) / (q[2] - p[2]);
      p = p.map((value, axis) => value + share * (q[axis] - value));
    }
    this.context.beginPath();
    for (const [x, y, z] of [p, q]) this.context.lineTo(lens.x + (lens.focal * x) / z, lens.y + (lens.focal * y) / z);
    this.context.stroke();
  }

  drawFloor(line) {
    const cells = [0, 2].map(axis => [
      Math.floor((this.low[axis] - 1000) / GRID_MM), Math.ceil((this.high[axis] + 1000) / GRID_MM),
    ]);
    const [[left, right], [near, far]] = cells;
    if (right - left > 200 || far - near > 200) return;
    [this.context.lineWidth, this.context.strokeStyle] = [1, getComputedStyle(this.canvas).color];
    const at = (x, z) => [x * GRID_MM, this.floor, z * GRID_MM];
    for (let x = left; x <= right; x++) line(at(x, near), at(x, far));
    for (let z = near; z <= far; z++) line(at(left, z), at(right, z));
  }

  drawCamera(line) {
    const { intrinsics: [fx, fy, cx, cy], size: [w, h] } = this.camera, depth = 350;
    const corners = [[0, 0], [w, 0], [w, h], [0, h]].map(([u, v]) => [((u - cx) / fx) * depth, ((v - cy) / fy) * depth, depth]);
    [this.context.lineWidth, this.context.strokeStyle] = [1.5, "#6b7383"];
    corners.forEach((corner, i) => {
      line([0, 0, 0], corner);
      line(corner, corners[(i + 1) % 4]);
    });
  }

  listen() {
    const { canvas } = this, pointers = new Map();
    canvas.addEventListener("pointerdown", event => {
      canvas.setPointerCapture(event.pointerId);
      pointers.set(event.pointerId, [event.offsetX, event.offsetY]);
    });
    for (const type of ["pointerup", "pointercancel"]) {
      canvas.addEventListener(type, event => pointers.delete(event.pointerId));
    }
    canvas.addEventListener("pointermove", event => {
      const before = pointers.get(event.pointerId), now = [event.offsetX, event.offsetY];
      if (!before) return;
      const other = [...pointers].find(([id]) => id !== event.pointerId)?.[1];
      const apart = p => Math.max(1, Math.hypot(p[0] - other[0], p[1] - other[1]));
      if (other) this.zoom(apart(before) / apart(now));
      else this.turn((before[0] - now[0]) * 0.008, (now[1] - before[1]) * 0.008);
      pointers.set(event.pointerId, now);
    });
    canvas.addEventListener("wheel", event => {
      event.preventDefault();
      this.zoom(Math.exp(Math.max(-200, Math.min(200, event.deltaY)) * 0.0015));
    }, { passive: false });
    canvas.addEventListener("keydown", event => {
      if (!KEYS[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      KEYS[event.key](this);
    });
  }
}
