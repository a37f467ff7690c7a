/**
 * Weights as the page carries them: numbers of 16 bits in base64, unpacked to 32 bits when a checkpoint is first asked
 * for.
 */

/**
 * The bytes that a base64 text stands for.
 * @param {string} text
 * @returns {Uint8Array}
 */
export function bytesOf(text) {
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let at = 0; at < bytes.length; at++) bytes[at] = binary.charCodeAt(at);
  return bytes;
}

/**
 * The number that 16 bits of IEEE 754 stand for.
 * @param {number} bits
 * @returns {number}
 */
export function halfToNumber(bits) {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/**
 * Numbers of 16 bits, little-endian, as numbers of 32 bits.
 * @param {Uint8Array} bytes
 * @returns {Float32Array}
 */
export function halvesToFloats(bytes) {
  const table = new Float32Array(65536).map((_, bits) => halfToNumber(bits));
  const floats = new Float32Array(bytes.length / 2);
  for (let at = 0; at < floats.length; at++) floats[at] = table[bytes[2 * at] | (bytes[2 * at + 1] << 8)];
  return floats;
}

/**
 * Parameters by name, as views of one array in which they lie one after another.
 * @param {Float32Array} floats
 * @param {{name: string, size: number}[]} layout
 * @returns {Record<string, Float32Array>}
 */
export function parametersOf(floats, layout) {
  let start = 0;
  const named = layout.map(({ name, size }) => [name, floats.subarray(start, start += size)]);
  if (start !== floats.length) throw new Error(`${floats.length} weights for a layout of ${start}`);
  return Object.fromEntries(named);
}
