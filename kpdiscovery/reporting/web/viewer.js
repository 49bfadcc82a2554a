// One picture, large, with a patch of each of its points.
const viewer = byId('viewer');
let viewed = null;

function view(shot, point = -1) {
  forget();
  if (point >= drawn(shot).length) drawAll(); // A sheet has points beyond the dozen.
  viewed = shot;
  byId('viewer-title').textContent = `${shot.name} (${shot.split}): ${describe(shot)}`;
  const frame = makeFrame(shot, true);
  frame.style.setProperty('--ratio', shot.width / shot.height);
  byId('viewer-frame').replaceChildren(frame);
  const tiles = drawn(shot).map((found, k) =>
    makeTile({ shot, k, point: found }, () => choose(frame, k)));
  byId('viewer-points').replaceChildren(...tiles);
  tiles.forEach((tile) => drawSeen.observe(tile));
  if (!viewer.open) viewer.showModal();
  frame.focus();
  if (point >= 0) choose(frame, point);
}

/** The picture before or after, in the gallery's order. */
function turn(step) {
  const order = inOrder(), at = order.indexOf(viewed);
  view(order[(at + step + order.length) % order.length]);
}

byId('before').addEventListener('click', () => turn(-1));
byId('next').addEventListener('click', () => turn(1));
byId('close').addEventListener('click', () => viewer.close());
viewer.addEventListener('close', forget);
