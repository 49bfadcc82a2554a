// The grid of pictures: which, in what order, with which points.
const FIRST = 24, MORE = 48;
/** An error of null is infinite: nothing was found. */
const badness = ({ error }) => error === null ? Infinity : error ?? -Infinity;
const ORDERS = {
  given: (a, b) => a.number - b.number,
  error: (a, b) => badness(b) - badness(a) || a.number - b.number,
  confidence: (a, b) => a.confidence - b.confidence || a.number - b.number,
};
let shown = FIRST;

/** All pictures of the chosen split, in the chosen order. */
function inOrder() {
  const kept = album.shots.filter((shot) => !state.split || shot.split === state.split);
  return kept.sort(ORDERS[state.order]);
}

function makeFigure(shot) {
  const figure = element('figure', 'shot');
  const caption = element('figcaption', '', shot.name);
  caption.append(element('small', '', describe(shot)));
  figure.append(makeFrame(shot), caption);
  return figure;
}

function showPictures() {
  forget();
  const order = inOrder(), part = order.slice(0, shown);
  byId('grid').replaceChildren(...part.map(makeFigure));
  byId('count').textContent = `${part.length} of ${order.length} pictures`;
  byId('more').hidden = part.length === order.length;
}

function drawAll() {
  state.all = byId('controls').elements.all.checked = true;
  showPictures();
}

byId('controls').addEventListener('change', ({ target }) => {
  state[target.name] = target.type === 'checkbox' ? target.checked : target.value;
  shown = FIRST;
  showPictures();
});
byId('more').addEventListener('click', () => {
  const first = shown;
  shown += MORE;
  showPictures();
  byId('grid').children[first].querySelector('.frame').focus();
});
byId('grid').addEventListener('click', (event) => {
  const frame = event.target.closest('.frame');
  if (!frame) return;
  const point = nearestTo(frame, event);
  if (event.pointerType === 'touch' && point >= 0) choose(frame, point);
  else view(shotOf(frame), chosen.frame === frame ? chosen.point : -1);
});
byId('viewer-frame').addEventListener('click', (event) => {
  const frame = event.target.closest('.frame'), point = nearestTo(frame, event);
  if (point >= 0) choose(frame, point);
});

showPictures();
showSheets();
