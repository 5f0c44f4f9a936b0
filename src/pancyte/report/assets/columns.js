/* Columns of the page's data, and the order in which points are drawn. */

function bytesOf(base64) {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let at = 0; at < text.length; at += 1) bytes[at] = text.charCodeAt(at);
  return bytes;
}

function unpack(data) {
  const columns = data.columns.map(bytesOf);
  return {
    ...data,
    maps: data.maps.map((map) => ({ ...map, xy: new Uint16Array(columns[map.column].buffer) })),
    colourings: data.colourings.map((given) => ({ ...given, codes: columns[given.column] })),
  };
}

/* A golden-ratio stride visits every point once, unrelated to the order in the file, so that
   the batch stored last does not cover the others. */
function drawingOrder(size) {
  const divisor = (a, b) => (b ? divisor(b, a % b) : a);
  let stride = Math.max(1, Math.floor(size * 0.618034));
  while (divisor(stride, size) > 1) stride += 1;
  const order = new Uint32Array(size);
  for (let at = 0, point = 0; at < size; at += 1, point = (point + stride) % size) {
    order[at] = point;
  }
  return order;
}
