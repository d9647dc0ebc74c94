// Boxes and poses over the picture.

import { colorOf, pale } from "./view3d.js";

/**
 * @param picture canvas or bitmap of the size of `canvas`
 * @param people list of {box: [left, top, width, height], pose2d: [x, y][]} px, (0, 0) the centre of a pixel
 * @param bones list of {a, b, left}
 */
export function drawOverlay(canvas, picture, people, bones) {
  const context = canvas.getContext("2d");
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.clearRect(0, 0, canvas.width, canvas.height);
  context.drawImage(picture, 0, 0);
  context.setTransform(1, 0, 0, 1, 0.5, 0.5);
  const thickness = Math.max(2, Math.max(canvas.width, canvas.height) / 200);
  context.lineCap = "round";
  people.forEach(({ box, pose2d }, person) => {
    const color = colorOf(person);
    [context.strokeStyle, context.lineWidth] = [color, thickness / 2];
    context.strokeRect(...box);
    drawNumber(context, person, box, color, thickness * 5);
    for (const [extra, shade] of [[thickness * 0.4, () => "#2228"], [0, left => (left ? pale(color) : color)]]) {
      for (const { a, b, left } of bones) {
        [context.strokeStyle, context.lineWidth] = [shade(left), thickness + extra];
        context.beginPath();
        context.moveTo(...pose2d[a]);
        context.lineTo(...pose2d[b]);
        context.stroke();
      }
    }
  });
}

/** At the box's upper left corner, outside where there is room. */
function drawNumber(context, number, [left, top], color, size) {
  context.font = `bold ${size}px system-ui, sans-serif`;
  const width = context.measureText(number).width + size * 0.5, height = size * 1.1;
  const [x, y] = [Math.max(0, left), top >= height ? top - height : Math.max(0, top)];
  context.fillStyle = color;
  context.fillRect(x, y, width, height);
  context.fillStyle = "#1d2129";
  context.fillText(number, x + size * 0.25, y + size * 0.92);
}
