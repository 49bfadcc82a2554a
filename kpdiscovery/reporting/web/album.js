// The pictures and their points: what they are, and how one is drawn.
const album = JSON.parse(document.getElementById('album').textContent);
const state = { split: '', order: 'given', all: false, truth: true };
const images = new Map(); // Decoded pictures by their number.

album.shots.forEach((shot, number) => {
  shot.number = number;
  shot.found = [];
  for (let at = 0; at < shot.points.length; at += 4) {
    const [x, y, label, score] = shot.points.slice(at, at + 4);
    shot.found.push({ x, y, label, score });
  }
  const sure = shot.found.slice(0, album.dozen);
  const sum = sure.reduce((total, point) => total + point.score, 0);
  shot.confidence = sure.length ? sum / sure.length : -Infinity;
});

const byId = (name) => document.getElementById(name);
const shotOf = (frame) => album.shots[frame.dataset.shot];

/** Points of a picture that are drawn now, surest first. */
function drawn(shot) {
  return state.all ? shot.found : shot.found.slice(0, album.dozen);
}

function colorOf(label) {
  return label < 0 ? '#969696' : album.colors[label % album.colors.length];
}

function nameOf(label) {
  const word = album.word[0].toUpperCase() + album.word.slice(1);
  return label < 0 ? `${word} without a number` : `${word} ${label}`;
}

function element(tag, className = '', text = '') {
  const made = document.createElement(tag);
  if (tag === 'button') made.type = 'button';
  made.className = className;
  made.textContent = text;
  return made;
}

const counted = (count, thing) => `${count} ${thing}${count === 1 ? '' : 's'}`;

/** One line about a picture. */
function describe(shot) {
  const count = shot.found.length, parts = [counted(count, 'keypoint')];
  if (count) parts.push(`confidence ${shot.confidence.toFixed(2)}`);
  if ('error' in shot) parts.push(`error ${shot.error?.toFixed(1) ?? 'infinite'}`);
  return parts.join(', ');
}

/** A picture with its points, to be reached by the keyboard; `fine`: shown large. */
function makeFrame(shot, fine = false) {
  const frame = element('button', 'frame');
  frame.dataset.shot = shot.number;
  frame.style.aspectRatio = `${shot.width} / ${shot.height}`;
  frame.setAttribute('aria-label', `${shot.name}: ${describe(shot)}`);
  const image = element('img', Math.max(shot.width, shot.height) <= 64 ? 'crisp' : '');
  image.alt = '';
  image.src = shot.uri;
  frame.append(image);
  frame.insertAdjacentHTML('beforeend', overlay(shot, fine));
  return frame;
}

/** Rings and crosses; the box counts pixels as the points do, integers at their centres. */
function overlay(shot, fine) {
  const points = drawn(shot), few = points.length <= album.dozen;
  const radius = Math.max(shot.width, shot.height) / (few ? 36 : 60) / (fine ? 2 : 1);
  const rings = points.map((point, k) => ring(shot, point, k, radius, few));
  const crosses = state.truth && shot.truth ? cross(shot.truth, radius) : '';
  return `<svg viewBox="-0.5 -0.5 ${shot.width} ${shot.height}" preserveAspectRatio="none"
    aria-hidden="true">${rings.reverse().join('')}${crosses}</svg>`;
}

function ring(shot, point, k, radius, numbered) {
  const circle = (name) =>
    `<circle class="${name}" cx="${point.x}" cy="${point.y}" r="${radius}"/>`;
  const left = point.x > 0.85 * shot.width, shift = (left ? -1.6 : 1.6) * radius;
  const number = `<text x="${point.x + shift}" y="${point.y}" font-size="${2.4 * radius}"
    stroke-width="${radius / 2}" ${left ? 'text-anchor="end"' : ''}>${point.label}</text>`;
  return `<g class="point" data-point="${k}" style="color:${colorOf(point.label)}">
    ${circle('edge')}${circle('ring')}${numbered && point.label >= 0 ? number : ''}</g>`;
}

function cross(truth, arm) {
  let path = '';
  for (let at = 0; at < truth.length; at += 2) {
    const [x, y] = truth.slice(at, at + 2), size = 2 * arm;
    path += `M${x - arm} ${y - arm}l${size} ${size}m0 ${-size}l${-size} ${size}`;
  }
  return `<path class="edge" d="${path}"/><path class="truth" d="${path}"/>`;
}

/** What is around a point, drawn on a square canvas. */
async function drawPatch(canvas, shot, point) {
  if (!images.has(shot.number)) {
    const image = new Image();
    image.src = shot.uri;
    images.set(shot.number, image);
  }
  const image = images.get(shot.number);
  await image.decode();
  const scale = image.naturalWidth / shot.width;
  const side = album.patch * Math.max(shot.width, shot.height) * scale;
  const left = (point.x + 0.5) * scale - side / 2, top = (point.y + 0.5) * scale - side / 2;
  const pen = canvas.getContext('2d');
  pen.clearRect(0, 0, canvas.width, canvas.height);
  pen.imageSmoothingEnabled = side > 24;
  pen.drawImage(image, left, top, side, side, 0, 0, canvas.width, canvas.height);
}
