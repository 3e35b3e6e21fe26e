/**
 * Turtle programs: words divided by spaces. F3 goes three steps forward, B2 two steps back, L and R turn a quarter.
 * The turtle starts at (0, 0) and looks up; y grows upwards.
 */

const COMMAND = /^(?:([FB])([1-9][0-9]?)|([LR]))$/;
const HEADINGS = [[0, 1], [1, 0], [0, -1], [-1, 0]]; // up, right, down, left

/**
 * @typedef {object} TurtleRun
 * @property {boolean} ok
 * @property {string} [error] which word is not a command
 * @property {[number, number][]} points every point visited, one for each step, from [0, 0]
 * @property {number} heading 0 up, 1 right, 2 down, 3 left
 */

/**
 * Executes a program. An empty program and an unknown word are errors; what ran before the word is still returned.
 * @param {string} program
 * @returns {TurtleRun}
 */
export function runTurtle(program) {
    const list = program.trim().split(/\s+/).filter(Boolean);
    /** @type {[number, number][]} */
    const points = [[0, 0]];
    let heading = 0;
    if (list.length === 0) return { ok: false, error: 'the program is empty', points, heading };
    for (const word of list) {
        const match = COMMAND.exec(word);
        if (!match) return { ok: false, error: `"${word}" is not a command`, points, heading };
        if (match[3]) {
            heading = (heading + (match[3] === 'R' ? 1 : 3)) % 4;
            continue;
        }
        const sign = match[1] === 'F' ? 1 : -1;
        for (let i = 0; i < Number(match[2]); i++) {
            const [x, y] = points[points.length - 1];
            points.push([x + sign * HEADINGS[heading][0], y + sign * HEADINGS[heading][1]]);
        }
    }
    return { ok: true, points, heading };
}

/**
 * Same points in the same order and the same last heading: "F1 F2" equals "F3", "L L" equals "R R".
 * @param {TurtleRun} a
 * @param {TurtleRun} b
 */
export function samePath(a, b) {
    return a.ok && b.ok && a.heading === b.heading && a.points.length === b.points.length &&
        a.points.every((p, i) => p[0] === b.points[i][0] && p[1] === b.points[i][1]);
}

/**
 * @param {{completion: string}[]} items
 * @param {string[]} outputs
 * @returns {{score: number, valid: number, items: {ok: boolean, exact: boolean, points: [number, number][],
 *   wanted: [number, number][], error?: string}[]}}
 *   score: share of programs with exactly the wanted path; valid: share that are programs at all
 */
export function scoreTurtle(items, outputs) {
    const rows = items.map((item, i) => {
        const wanted = runTurtle(item.completion);
        const got = runTurtle(outputs[i]);
        return { ok: got.ok, exact: samePath(wanted, got), points: got.points, wanted: wanted.points, ...(got.error && { error: got.error }) };
    });
    const share = (/** @type {'ok' | 'exact'} */ key) => rows.filter((r) => r[key]).length / Math.max(1, rows.length);
    return { score: share('exact'), valid: share('ok'), items: rows };
}
