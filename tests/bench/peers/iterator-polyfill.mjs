// jax-js uses ES2025 iterator helpers, absent in node 20 (present in node >= 22 and Chromium >= 122)
const IP = Object.getPrototypeOf(Object.getPrototypeOf([][Symbol.iterator]()));
const def = (k, f) => {
  if (!IP[k]) Object.defineProperty(IP, k, { value: f, configurable: true, writable: true });
};
def('map', function* (f) {
  let i = 0;
  for (const x of this) yield f(x, i++);
});
def('filter', function* (f) {
  let i = 0;
  for (const x of this) if (f(x, i++)) yield x;
});
def('toArray', function () {
  return [...this];
});
def('some', function (f) {
  let i = 0;
  for (const x of this) if (f(x, i++)) return true;
  return false;
});
def('every', function (f) {
  let i = 0;
  for (const x of this) if (!f(x, i++)) return false;
  return true;
});
def('find', function (f) {
  let i = 0;
  for (const x of this) if (f(x, i++)) return x;
});
def('reduce', function (f, ...a) {
  return [...this].reduce(f, ...a);
});
def('forEach', function (f) {
  let i = 0;
  for (const x of this) f(x, i++);
});
