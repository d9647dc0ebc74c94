// The network's arrays as people with a chosen skeleton, and the file of poses.

/**
 * @param found {boxes, scores, poses3d, poses2d, uncertainty, entropy} as the worker gives them
 * @param skeleton {indices, ...} of portable.json
 */
export function peopleOf(found, { indices }) {
  const nAll = found.boxes.length ? found.poses3d.length / 3 / (found.boxes.length / 4) : 0;
  const rows = (array, person, width) =>
    indices.map(joint => {
      const start = (person * nAll + joint) * width;
      return Array.from(array.subarray(start, start + width));
    });
  return Array.from({ length: found.boxes.length / 4 }, (_, person) => ({
    box: Array.from(found.boxes.subarray(4 * person, 4 * person + 4)),
    score: found.scores[person],
    pose3d: rows(found.poses3d, person, 3),
    pose2d: rows(found.poses2d, person, 2),
    uncertainty: rows(found.uncertainty, person, 1).flat(),
    entropy: rows(found.entropy, person, 1).flat(),
  }));
}

/** Bones of a skeleton: joint numbers, and whether the limb is of the left side. */
export function bonesOf({ joint_names, edges }) {
  const isLeft = joint_names.map(name => name.startsWith("l"));
  return edges.map(([a, b]) => ({ a, b, left: isLeft[a] || isLeft[b] }));
}

/** The text of a file as the demo writes it (docs/demo.md): lengths are rounded to 0.01 mm and px. */
export function poseFile({ source, size, intrinsics: [fx, fy, cx, cy], fov, skeletonName, skeleton, people }) {
  const rounded = (value, digits = 2) =>
    Array.isArray(value) ? value.map(v => rounded(v, digits)) : Number.isFinite(value) ? +value.toFixed(digits) : null;
  const person = (p, number) => ({
    person: number,
    score: rounded(p.score, 4),
    box: rounded(p.box),
    pose3d: rounded(p.pose3d),
    pose2d: rounded(p.pose2d),
    uncertainty: rounded(p.uncertainty),
    entropy: rounded(p.entropy, 4),
  });
  return JSON.stringify({
    format: "metrabs_acae poses 1",
    source,
    image_size_wh: size,
    intrinsic_matrix: [[fx, 0, cx], [0, fy, cy], [0, 0, 1]],
    lens: { model: "pinhole", coefficients: [] },
    camera_from: `web page, ${fov} degrees along the larger side`,
    skeleton: skeletonName,
    joint_names: skeleton.joint_names,
    edges: skeleton.edges,
    tracked: false,
    frames: [{ frame: 0, time_s: 0, people: people.map(person) }],
  });
}
