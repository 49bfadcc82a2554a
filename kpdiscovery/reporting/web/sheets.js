// A sheet for each label: patches of its points in all pictures.
const ROWS = 24, ACROSS = 12, WHOLE = 120;
const sheets = new Map(); // Label to [{ shot, k, point }], surest first.
let rowsShown = ROWS;

for (const shot of album.shots) {
  shot.found.forEach((point, k) => {
    if (!sheets.has(point.label)) sheets.set(point.label, []);
    sheets.get(point.label).push({ shot, k, point });
  });
}
for (const sheet of sheets.values()) sheet.sort((a, b) => b.point.score - a.point.score);

/** The most frequent labels, in the order of their numbers. */
function labels() {
  const frequent = [...sheets.keys()].sort((a, b) => sheets.get(b).length - sheets.get(a).length);
  return frequent.slice(0, rowsShown).sort((a, b) => a - b);
}

/** At most `count`, first and last included. */
function spread(list, count) {
  if (list.length <= count) return list;
  const step = (list.length - 1) / (count - 1);
  return Array.from({ length: count }, (_, i) => list[Math.round(i * step)]);
}

/** A patch that opens its picture. */
function makeTile({ shot, k, point }, act = () => view(shot, k)) {
  const tile = element('button', 'tile'), canvas = element('canvas');
  canvas.width = canvas.height = 144;
  const said = point.score.toFixed(2);
  tile.setAttribute('aria-label', `${nameOf(point.label)} in ${shot.name}, score ${said}`);
  tile.style.setProperty('--swatch', colorOf(point.label));
  tile.append(canvas, element('small', '', said));
  tile.draw = () => drawPatch(canvas, shot, point);
  tile.addEventListener('click', act);
  return tile;
}

const drawSeen = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    if (!isIntersecting) continue;
    drawSeen.unobserve(target);
    target.draw();
  }
}, { rootMargin: '200px' });

function fill(row, label, whole) {
  const sheet = [...sheets.get(label)];
  if (byId('sheet-order').value === 'least') sheet.reverse();
  const tiles = spread(sheet, whole ? WHOLE : ACROSS).map((one) => makeTile(one));
  row.querySelector('.tiles').replaceChildren(...tiles);
  tiles.forEach((tile) => drawSeen.observe(tile));
  row.querySelector('button').setAttribute('aria-expanded', whole);
}

function makeRow(label) {
  const row = element('div', 'row'), head = element('h3'), sheet = sheets.get(label);
  const open = element('button', 'sheet-name', nameOf(label));
  open.style.setProperty('--swatch', colorOf(label));
  const [most, least] = [sheet[0], sheet.at(-1)].map(({ point }) => point.score.toFixed(2));
  const pictures = new Set(sheet.map(({ shot }) => shot)).size;
  head.append(open, element('small', '', `in ${counted(pictures, 'picture')}, score ${most} to ${least}`));
  row.append(head, element('div', 'tiles'));
  open.addEventListener('click', () =>
    fill(row, label, open.getAttribute('aria-expanded') !== 'true'));
  fill(row, label, false);
  return row;
}

function showSheets() {
  byId('sheet-rows').replaceChildren(...labels().map(makeRow));
  byId('more-sheets').hidden = rowsShown >= sheets.size;
}

byId('sheet-order').addEventListener('change', showSheets);
byId('more-sheets').addEventListener('click', () => {
  rowsShown += ROWS;
  showSheets();
});
