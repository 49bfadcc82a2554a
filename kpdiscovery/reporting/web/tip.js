// The one chosen point, by mouse, finger or arrow key, and what is said of it.
const tip = byId('tip');
const chosen = { frame: null, point: -1 };
const REACH = { mouse: 14, pen: 14, touch: 28 }; // CSS pixels.

function choose(frame, point) {
  if (chosen.frame === frame && chosen.point === point) return;
  forget();
  const shot = shotOf(frame), found = drawn(shot)[point];
  if (!found) return;
  Object.assign(chosen, { frame, point });
  const mark = frame.querySelector(`[data-point="${point}"]`);
  mark.classList.add('on');
  tell(shot, found);
  (frame.closest('dialog') ?? document.body).append(tip);
  tip.hidden = false;
  place(mark.getBoundingClientRect());
}

function forget() {
  chosen.frame?.querySelector('.on')?.classList.remove('on');
  Object.assign(chosen, { frame: null, point: -1 });
  tip.hidden = true;
}

function tell(shot, point) {
  tip.querySelector('b').textContent = nameOf(point.label);
  tip.querySelector('b').style.setProperty('--swatch', colorOf(point.label));
  tip.querySelector('span').textContent =
    `score ${point.score.toFixed(2)}, at (${point.x.toFixed(1)}, ${point.y.toFixed(1)})`;
  drawPatch(tip.querySelector('canvas'), shot, point);
}

/** Beside the point where there is room, else below or above it. */
function place(mark) {
  const { width, height } = tip.getBoundingClientRect(), gap = 12;
  let left = mark.right + gap, top = mark.top + (mark.height - height) / 2;
  if (left + width > innerWidth) left = mark.left - gap - width;
  if (left < 0) {
    left = mark.left + (mark.width - width) / 2;
    top = mark.bottom + gap;
    if (top + height > innerHeight) top = mark.top - gap - height;
  }
  tip.style.left = `${Math.max(4, Math.min(left, innerWidth - width - 4))}px`;
  tip.style.top = `${Math.max(4, Math.min(top, innerHeight - height - 4))}px`;
}

/** Stay at the point while the page moves under it. */
function follow() {
  const mark = chosen.frame?.querySelector('.on');
  if (mark) place(mark.getBoundingClientRect());
}

/** The drawn point nearest to a place in the window; -1 if none is within reach. */
function nearest(frame, x, y, reach) {
  const shot = shotOf(frame), box = frame.getBoundingClientRect();
  let best = -1, least = reach;
  drawn(shot).forEach((point, k) => {
    const dx = box.left + ((point.x + 0.5) / shot.width) * box.width - x;
    const dy = box.top + ((point.y + 0.5) / shot.height) * box.height - y;
    const far = Math.hypot(dx, dy);
    if (far < least) [best, least] = [k, far];
  });
  return best;
}

const nearestTo = (frame, event) =>
  nearest(frame, event.clientX, event.clientY, REACH[event.pointerType] ?? REACH.mouse);

document.addEventListener('pointermove', (event) => {
  if (event.pointerType === 'touch') return;
  const frame = event.target.closest?.('.frame');
  const point = frame ? nearestTo(frame, event) : -1;
  if (point >= 0) choose(frame, point);
  else forget();
});

document.addEventListener('focusout', forget);
document.addEventListener('scroll', follow, { capture: true, passive: true });

const STEPS = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };

document.addEventListener('keydown', (event) => {
  if (event.key === 'Escape' && chosen.frame) {
    forget();
    event.preventDefault(); // A point is left before a dialog is.
  }
  const frame = event.target.closest?.('.frame');
  if (!frame || !(event.key in STEPS)) return;
  event.preventDefault();
  const count = drawn(shotOf(frame)).length, step = STEPS[event.key];
  const from = chosen.frame === frame ? chosen.point : step > 0 ? -1 : 0;
  if (count) choose(frame, (from + step + count) % count);
});
