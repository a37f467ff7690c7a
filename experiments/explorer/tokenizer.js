/**
 * Byte-level byte-pair encoding, as the run's tokenizer.json says: text is split, its bytes become letters, and pairs
 * of letters merge in the order in which they were learned.
 */

/**
 * @typedef {Object} TokenizerData
 * @property {string[]} vocabulary by number; letters stand for bytes
 * @property {[string, string][]} merges those learned first come first
 * @property {string[]} special texts that are a token each, wherever they stand
 * @property {string} alone letters that never merge with others
 * @property {number} first the token that a row begins with
 */

// How a text is split before its parts are encoded (GPT-2's expression, in terms of Unicode's properties).
const PARTS =
  /'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\p{White_Space}\p{L}\p{N}]+|\p{White_Space}+(?!\P{White_Space})|\p{White_Space}+/gu;

/**
 * The letter that stands for each byte: itself where it can be printed, else one from 256 on.
 * @returns {string[]}
 */
export function byteLetters() {
  const printed = (/** @type {number} */ byte) =>
    (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || (byte >= 174 && byte <= 255);
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(printed(byte) ? byte : next++));
}

/**
 * @param {TokenizerData} data
 * @returns {{encode: (text: string) => number[], decode: (token: number) => string, first: number}}
 */
export function makeTokenizer(data) {
  const letters = byteLetters();
  const bytes = new Map(letters.map((letter, byte) => [letter, byte]));
  const numbers = new Map(data.vocabulary.map((token, number) => [token, number]));
  const ranks = new Map(data.merges.map(([left, right], rank) => [`${left} ${right}`, rank]));
  const alone = new Set(data.alone);

  /** @param {string} part */
  function tokensOf(part) {
    const inBytes = new TextEncoder().encode(part);
    return merged(
      Array.from(inBytes, (byte) => letters[byte]),
      ranks,
    ).map((token) => numbers.get(token) ?? NaN);
  }

  /** @param {string} text */
  function encode(text) {
    return apart(text, data.special).flatMap((piece) =>
      data.special.includes(piece)
        ? [numbers.get(piece) ?? NaN]
        : isolated(piece, alone).flatMap((run) => (run.match(PARTS) ?? []).flatMap(tokensOf))
    );
  }

  /** @param {number} token */
  function decode(token) {
    const text = data.vocabulary[token];
    if (data.special.includes(text)) return text;
    return new TextDecoder().decode(Uint8Array.from(text, (letter) => bytes.get(letter) ?? 63));
  }
  return { encode, decode, first: data.first };
}

/**
 * Letters, with the pair that was learned first merged wherever it stands, again and again.
 * @param {string[]} tokens
 * @param {Map<string, number>} ranks
 */
function merged(tokens, ranks) {
  for (;;) {
    let [best, at] = [Infinity, -1];
    for (let i = 0; i + 1 < tokens.length; i++) {
      const rank = ranks.get(`${tokens[i]} ${tokens[i + 1]}`) ?? Infinity;
      if (rank < best) [best, at] = [rank, i];
    }
    if (at < 0) return tokens;
    tokens = [...tokens.slice(0, at), tokens[at] + tokens[at + 1], ...tokens.slice(at + 2)];
  }
}

/**
 * A text cut at the special tokens, which are kept as pieces.
 * @param {string} text
 * @param {string[]} special
 * @returns {string[]}
 */
function apart(text, special) {
  const starts = special.map((token) => text.indexOf(token));
  const found = starts.filter((start) => start >= 0);
  if (!found.length) return text ? [text] : [];
  const start = Math.min(...found);
  const token = special[starts.indexOf(start)];
  const before = start ? [text.slice(0, start)] : [];
  return [...before, token, ...apart(text.slice(start + token.length), special)];
}

/**
 * A text cut so that each of some letters is a piece of its own.
 * @param {string} text
 * @param {Set<string>} alone
 * @returns {string[]}
 */
function isolated(text, alone) {
  const pieces = [];
  let open = false;
  for (const letter of text) {
    if (alone.has(letter) || !open) pieces.push(letter);
    else pieces[pieces.length - 1] += letter;
    open = !alone.has(letter);
  }
  return pieces;
}
