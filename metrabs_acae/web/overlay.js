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
  context.drawImage(picture, 0, 0);
  context.setTransform(1, 0, 0, 1, 0.5, 0.5);
  const thickness = Math.max(2, Math.max(canvas.width, canvas.height) / 200);
  context.lineCap = "round";
  people.forEach(({ box, pose2d }, person) => {
    const color = colorOf(person);
    [context.strokeStyle, context.lineWidth] = [color, thickness / 2];
    context.strokeRect(...box);
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
