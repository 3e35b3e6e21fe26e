/** Inspect ΔW: the matrices of one linear map before and after training, and how many directions the change uses. */
import { count, fixed, percent, significant } from '../lib/format.js';
import { aside, recipe, trainFresh } from '../lib/aside.js';
import { trainHere } from './alone.js';
import { css, define, html, LabElement, nothing, t } from './base.js';
import { wrong } from './engine-said.js';
import './chart.js';
import { placeOf } from './diagram-parts.js';
import { largest } from './heatmap.js';
import { drawnOf, spectrumPlot, spectrumTable } from './spectrum.js';
import { Work } from './work.js';
import { factorOf, whyNotMerged } from './reasons.js';

/**
 * @typedef {{rows: number, cols: number, singular_values: number[], effective_rank: number, frobenius: number,
 *   relative: number}} Spectrum
 * @typedef {{name: string, values: Float32Array, rows: number, cols: number}} NamedMatrix
 * @typedef {{layer: number, site: string, label: string, maps: NamedMatrix[], spectrum: Spectrum | null}} View
 */

/** A full training beside the run takes at most so many steps. */
const FULL_STEPS = 60;

/** AdapterHub's names of tensors have a gap for the adapter's own. @param {{name: string}} tensor @param {{name: string}} module */
const nameOf = (tensor, module) => tensor.name.replace('{name}', module.name);

class PeftPanelInspect extends LabElement {
    static watch = ['status', 'modules', 'run', 'merge', 'ready', 'state'];
    static styles = [LabElement.styles, css`
        .maps { display: flex; flex-wrap: wrap; gap: 18px; align-items: flex-start; }
        .factors { display: grid; gap: 14px; min-width: 0; max-width: 100%; }
        .pick label { display: grid; gap: 2px; font-size: 0.85rem; }
        .pick label.row { display: flex; gap: 6px; align-self: end; min-height: 36px; }
        td button.link { vertical-align: top; margin-top: -2px; }
        .two > .stack { align-content: start; }
        .equation { background: var(--surface); border-radius: 6px; padding: 6px 10px; min-height: 2.6em; }
        .two { display: grid; gap: 16px; grid-template-columns: repeat(auto-fit, minmax(min(100%, 320px), 1fr)); }
        tr.chosen { background: var(--accent-soft); }
    `];
    static properties = {
        chosen: { state: true }, same: { state: true }, view: { state: true }, cell: { state: true }, overview: { state: true },
        full: { state: true }, problem: { state: true },
    };

    constructor() {
        super();
        /**
         * Which module, layer and matrix (or tensor name) the visitor picked.
         * @type {{module: number, layer: number, site: string, tensor: string}}
         */
        this.chosen = { module: 0, layer: 0, site: '', tensor: '' };
        this.same = false;
        /** @type {View | null} */
        this.view = null;
        /** @type {{row: number, col: number}} */
        this.cell = { row: 0, col: 0 };
        /** @type {{layer: number, site: string, spectrum: Spectrum}[]} */
        this.overview = [];
        /** Spectra of a full training, by "layer site". @type {Map<string, Spectrum> | null} */
        this.full = null;
        /** @type {Error | null} */
        this.problem = null;
        this.work = new Work(this);
        this.stale = true;
        this.ticket = 0;
    }

    connectedCallback() {
        super.connectedCallback();
        this.lab.ready().catch(() => {});
        this.stale = true;
        this.requestUpdate();
    }

    disconnectedCallback() {
        super.disconnectedCallback();
        this.work.cancel();
    }

    /** @param {string} type @param {any} detail */
    onLab(type, detail) {
        if (['modules', 'run', 'merge', 'ready'].includes(type) || (type === 'status' && detail === 'paused')) this.stale = true;
        if (type === 'state' && ['model', 'task'].some((key) => detail?.includes(key))) this.full = null;
        this.requestUpdate();
    }

    get modules() {
        return this.lab.description?.modules ?? [];
    }

    get module() {
        return this.modules.find((/** @type {any} */ m) => m.id === this.chosen.module) ?? this.modules[0];
    }

    get siteNames() {
        return /** @type {string[]} */ (this.lab.engine?.sites ?? []);
    }

    /** Maps the module changes. @returns {{layer: number, site: string}[]} */
    get places() {
        const { module, siteNames } = this;
        if (!module?.can_merge) return [];
        const changed = module.tensors.filter((/** @type {any} */ x) => x.site >= 0);
        const keys = new Map(changed.map((/** @type {any} */ { layer, site }) => [`${layer} ${site}`, { layer, site: siteNames[site] }]));
        return [...keys.values()];
    }

    /** Layer and matrix that are shown: what was picked where it exists, else the first. */
    get place() {
        const { places, chosen } = this;
        return places.find((p) => p.layer === chosen.layer && p.site === chosen.site)
            ?? places.find((p) => p.site === chosen.site) ?? places[0];
    }

    updated() {
        if (this.stale && this.lab.session && this.module && !['training', 'loading', 'idle'].includes(this.lab.status)) {
            this.stale = false;
            this.#read();
        }
    }

    async #read() {
        const ticket = ++this.ticket;
        const { module, place, places } = this;
        // Every look is a turn of its own, so that training need not wait for all of them; it may have replaced the module before the
        // next turn.
        const turn = (/** @type {() => Promise<any>} */ look) => this.lab.during(null, async () =>
            (ticket === this.ticket && this.modules.includes(module) ? look() : null));
        try {
            const view = await turn(() => (place ? this.#readMap(module, place) : this.#readTensor(module)));
            if (!view) return;
            this.view = view;
            this.problem = null;
            const overview = [];
            for (const at of places) {
                const spectrum = await turn(() => /** @type {any} */ (this.lab.session).spectrum(module.id, at.layer, at.site));
                if (!spectrum) return;
                overview.push({ ...at, spectrum });
            }
            this.overview = overview;
        } catch (error) {
            if (ticket === this.ticket) this.problem = /** @type {Error} */ (error);
        }
    }

    /** @param {any} module @param {{layer: number, site: string}} place @returns {Promise<View>} */
    async #readMap(module, { layer, site }) {
        const session = /** @type {import('../engine/session.js').Session} */ (this.lab.session);
        const spectrum = await session.spectrum(module.id, layer, site);
        const { rows, cols } = spectrum;
        const get = (/** @type {any} */ what) => session.matrix(module.id, layer, site, what);
        const [base, delta, merged] = [await get('base'), await get('delta'), await get('merged')];
        const maps = [{ name: 'W', values: base, rows, cols }];
        if (module.method === 'lora') {
            const a = await get('A');
            const b = await get('B');
            maps.push({ name: 'B', values: b, rows, cols: b.length / rows }, { name: 'A', values: a, rows: a.length / cols, cols });
        }
        maps.push({ name: 'ΔW', values: delta, rows, cols }, { name: 'W + ΔW', values: merged, rows, cols });
        return { layer, site, label: t('inspect.map', { layer: layer + 1, site }), maps, spectrum };
    }

    /** Methods that change no weights: their own learned numbers. @param {any} module @returns {Promise<View>} */
    async #readTensor(module) {
        const session = /** @type {import('../engine/session.js').Session} */ (this.lab.session);
        const tensor = module.tensors.find((/** @type {any} */ x) => x.name === this.chosen.tensor) ?? module.tensors[0];
        const values = await session.tensor(module.id, tensor.name);
        const [rows, cols = 1] = tensor.shape.length === 1 ? [1, tensor.shape[0]] : [tensor.shape[0], values.length / tensor.shape[0]];
        const label = nameOf(tensor, module);
        const name = label.replace(/^model\.|\.weight$/g, '');
        return { layer: -1, site: '', label, maps: [{ name, values, rows, cols }], spectrum: null };
    }

    /** @param {Partial<PeftPanelInspect['chosen']>} change */
    #choose(change) {
        this.chosen = { ...this.chosen, ...(this.place ?? {}), ...change };
        this.stale = true;
        this.requestUpdate();
    }

    /** Shows what the drawing has at a place: a matrix, or the first tensor of the trained part there. @param {string} place */
    look(place) {
        const here = (/** @type {any} */ { name }) => placeOf(name) === place;
        const module = this.modules.find((/** @type {any} */ m) => m.active && m.tensors.some(here));
        const tensor = module?.tensors.find(here);
        if (tensor) this.#choose({ module: module.id, site: this.siteNames[tensor.site] ?? '', tensor: tensor.name });
    }

    /** How fast the change of a full training decays, for the same data and at most FULL_STEPS steps. */
    async #trainFull() {
        const { lab } = this;
        const { options, train } = recipe(lab, 'full');
        const steps = Math.min(FULL_STEPS, lab.run?.train.steps ?? train.steps);
        await this.work.run(steps, t('inspect.full.running'), async ({ signal, tick, check }) => {
            const own = await aside(lab);
            try {
                const parts = [{ method: 'full', options }];
                const { modules: [module] } = await trainFresh(own, parts, { ...train, steps }, {
                    seed: lab.state.seed, signal, onStep: () => tick(),
                });
                const spectra = new Map();
                for (const tensor of module.tensors.filter(({ site }) => site >= 0)) {
                    const site = this.siteNames[tensor.site];
                    spectra.set(`${tensor.layer} ${site}`, await own.session?.spectrum(module.id, tensor.layer, site));
                    check();
                }
                this.full = spectra;
                this.say(t('inspect.full.done'));
            } finally {
                own.close();
            }
        });
    }

    render() {
        const { lab, module, view } = this;
        const head = html`<h2>${t('inspect.title')}</h2><p class="muted small">${t('inspect.about')}</p>${trainHere(this)}`;
        if (!lab.session || !module) {
            return html`<section class="stack">${head}<p role="status">${t(`status.${lab.status}`)}</p></section>`;
        }
        const trained = Boolean(lab.run);
        return html`<section class="stack">${head}
            ${trained ? nothing : html`<p class="note">${t('inspect.untrained', { method: t(`method.${module.method}`) })}</p>`}
            ${lab.status === 'training' ? html`<p class="muted small" role="status">${t('inspect.waits')}</p>` : nothing}
            ${this.problem ? html`<p class="bad" role="alert">${wrong(this.problem)}</p>` : nothing}
            ${this.#picker()}
            ${view ? this.#maps(view) : nothing}
            ${view?.spectrum ? html`<div class="two">${this.#spectrum(view, view.spectrum)}${this.#overviewTable()}</div>` : nothing}
        </section>`;
    }

    #picker() {
        const { modules, module, places, place } = this;
        const option = (/** @type {any} */ value, /** @type {string} */ text, /** @type {boolean} */ on) =>
            html`<option value=${value} ?selected=${on}>${text}</option>`;
        const onModule = (/** @type {any} */ e) => this.#choose({ module: Number(e.target.value) });
        const onLayer = (/** @type {any} */ e) => this.#choose({ layer: Number(e.target.value) });
        const onSite = (/** @type {any} */ e) => this.#choose({ site: e.target.value });
        const onTensor = (/** @type {any} */ e) => this.#choose({ tensor: e.target.value });
        const onSame = (/** @type {any} */ e) => { this.same = e.target.checked; };
        const layers = [...new Set(places.map(({ layer }) => layer))];
        const sites = [...new Set(places.map(({ site }) => site))];
        return html`<div class="row pick">
            ${modules.length > 1 ? html`<label>${t('inspect.module')}<select @change=${onModule}>${modules.map((/** @type {any} */ m) =>
                option(m.id, `${t(`method.${m.method}`)} (${m.name})`, m === module))}</select></label>` : nothing}
            ${place ? html`
                <label>${t('inspect.layer')}<select id="layer" @change=${onLayer}>${layers.map((layer) =>
                    option(layer, String(layer + 1), layer === place.layer))}</select></label>
                <label>${t('inspect.matrix')}<select id="site" @change=${onSite}>${sites.map((site) =>
                    option(site, site, site === place.site))}</select></label>
                <label class="row"><input id="same" type="checkbox" .checked=${this.same} @change=${onSame}><span
                    class="grow">${t('inspect.same')}</span></label>`
            : html`<label>${t('inspect.tensor')}<select @change=${onTensor}>${module.tensors.map((/** @type {any} */ tensor) =>
                option(tensor.name, nameOf(tensor, module), tensor.name === this.chosen.tensor))}</select></label>`}
        </div>
        ${place ? nothing : html`<p>${whyNotMerged(this.lab, module.method) || t('inspect.no_map')}</p>`}`;
    }

    /** @param {View} view */
    #maps(view) {
        const weights = view.maps.filter(({ name }) => ['W', 'ΔW', 'W + ΔW'].includes(name));
        const shared = this.same && weights.length > 1 ? Math.max(...weights.map(({ values }) => largest(values))) : 0;
        const cellOf = (/** @type {NamedMatrix} */ { name }) =>
            (name === 'B' ? { row: this.cell.row, col: 0 } : name === 'A' ? { row: 0, col: this.cell.col } : this.cell);
        const bandOf = (/** @type {NamedMatrix} */ { name }) => (view.spectrum ? { A: 'col', B: 'row' }[name] ?? '' : '');
        const draw = (/** @type {NamedMatrix} */ map) => html`<peft-heatmap theme=${this.theme ?? nothing} .label=${this.#mapLabel(map.name)}
            .values=${map.values} .rows=${map.rows} .cols=${map.cols} .lab=${this.lab} .max=${weights.includes(map) ? shared : 0}
            .cell=${view.spectrum ? cellOf(map) : this.cell} .band=${bandOf(map)} data-map=${map.name}></peft-heatmap>`;
        // B and A, narrow both, share one place: then the maps of one equation stand in one row.
        const factors = view.maps.filter(({ name }) => ['B', 'A'].includes(name));
        const shown = view.maps.map((map) => (map.name === 'B' ? html`<div class="factors">${factors.map(draw)}</div>`
            : factors.includes(map) ? nothing : draw(map)));
        const change = view.spectrum ? largest(weights[1].values) : 0;
        const scale = this.same ? 'inspect.scale.same' : 'inspect.scale.own';
        return html`<div class="maps" @peft-cell=${(/** @type {any} */ e) => this.#cell(view, e)}>${shown}</div>
            ${change > 0 ? html`<p class="small muted">${t(scale, { ratio: significant(largest(weights[0].values) / change, 2) })}</p>`
                : view.spectrum ? html`<p class="small muted" id="zero">${t(this.#whyZero(view))}</p>` : nothing}
            ${view.spectrum ? html`<p class="equation num small">${this.#equation(view)}</p>` : nothing}`;
    }

    /** Why ΔW is zero, by the factors it is made of: key of a text. @param {View} view */
    #whyZero(view) {
        const zero = (/** @type {string} */ name) => view.maps.some((map) => map.name === name && largest(map.values) === 0);
        return zero('B') ? 'inspect.zero.b' : zero('A') ? 'inspect.zero.a' : 'inspect.zero';
    }

    /** @param {string} name */
    #mapLabel(name) {
        if (name !== 'ΔW' || this.module.method !== 'lora') return name;
        return this.module.options.use_dora ? t('inspect.dora') : `ΔW = (${factorOf(this.module)})·B·A`;
    }

    /**
     * The cursor is shared: row and column of ΔW are the row of B and the column of A.
     * @param {View} view @param {CustomEvent} event
     */
    #cell(view, event) {
        const name = /** @type {HTMLElement} */ (event.target).dataset.map;
        const { row, col } = event.detail;
        const { cell } = this;
        this.cell = {
            row: view.spectrum && name === 'A' ? cell.row : row,
            col: view.spectrum && name === 'B' ? cell.col : col,
        };
    }

    /** @param {View} view */
    #equation(view) {
        const { row, col } = this.cell;
        const at = (/** @type {string} */ name) => {
            const map = view.maps.find((m) => m.name === name);
            return map ? map.values[row * map.cols + col] : NaN;
        };
        const numbers = {
            row: row + 1, col: col + 1,
            w: significant(at('W'), 4), d: significant(at('ΔW'), 4), sum: significant(at('W + ΔW'), 4),
        };
        const text = t('inspect.equation', numbers);
        const { options, method } = this.module;
        if (method !== 'lora' || options.use_dora) return text;
        const b = /** @type {View['maps'][0]} */ (view.maps.find((m) => m.name === 'B'));
        const a = /** @type {View['maps'][0]} */ (view.maps.find((m) => m.name === 'A'));
        let dot = 0;
        for (let k = 0; k < b.cols; k++) dot += b.values[row * b.cols + k] * a.values[k * a.cols + col];
        if (!dot) return html`${text} `;
        const product = {
            factor: factorOf(this.module), row: row + 1, col: col + 1, scale: significant(at('ΔW') / dot, 3), dot: significant(dot, 4), r: b.cols,
        };
        return html`${text} ${t('inspect.equation.lora', product)}`;
    }

    /** Rank the change can have at most. @param {View} view */
    #rank(view) {
        return this.module.method === 'lora' && !this.module.options.use_dora ? view.maps.find((m) => m.name === 'B')?.cols ?? 0 : 0;
    }

    /** @param {View} view @param {Spectrum} spectrum */
    #spectrum(view, spectrum) {
        const rank = this.#rank(view);
        const full = this.module.method === 'full' ? null : this.full?.get(`${view.layer} ${view.site}`) ?? null;
        const values = spectrum.singular_values;
        const drawn = drawnOf(values.length, rank);
        const used = values.filter((v) => v > (values[0] || 0) * 1e-6).length;
        const summary = spectrum.frobenius === 0 ? t('inspect.spectrum.zero') : [
            t('inspect.spectrum.summary', { used, all: values.length, effective: significant(spectrum.effective_rank) }),
            rank && t('inspect.spectrum.rank', { r: rank }),
            full && t('inspect.spectrum.full', { effective: significant(full.effective_rank) }),
            drawn < values.length && t('inspect.spectrum.drawn', { n: drawn, all: values.length }),
        ].filter(Boolean).join(' ');
        const whole = full?.singular_values ?? null;
        return html`<div class="stack"><h3>${t('inspect.spectrum')}</h3>
            <peft-chart theme=${this.theme ?? nothing} .lab=${this.lab} .label=${t('inspect.spectrum.label', { map: view.label })}
                .summary=${summary} .height=${230} .plot=${spectrumPlot({ values, rank, method: this.module.method, full: whole })}
                .table=${spectrumTable(values, whole)}></peft-chart>
            <p>${t('inspect.effective')} ${this.value(significant(spectrum.effective_rank), 'measured')}<br>
               ${t('inspect.relative')} ${this.value(percent(spectrum.relative * 100), 'measured')}</p>
            <p class="small muted">${t('inspect.effective.about')}</p>
            ${this.module.method === 'full' ? html`<p class="small">${t('inspect.full.this')}</p>` : this.#beside()}</div>`;
    }

    /** Full fine-tuning beside the run. */
    #beside() {
        const steps = Math.min(FULL_STEPS, this.lab.run?.train.steps ?? recipe(this.lab, 'full').train.steps);
        return html`<div class="stack"><p class="small">${t('inspect.full.about')}</p>
            ${this.work.running ? nothing
                : html`<div><button id="full" @click=${this.#trainFull}>${t('inspect.full.do', { n: steps })}</button></div>`}
            ${this.work.bar()}</div>`;
    }

    #overviewTable() {
        const { place, overview } = this;
        return html`<div class="stack"><h3>${t('inspect.overview')}</h3>
            <div class="scroll" tabindex="0" role="region" aria-label=${t('inspect.overview')}
                style="max-height: 340px; overflow-y: auto"><table>
            <thead><tr>
                <th scope="col" class="num">${t('inspect.layer')}</th><th scope="col">${t('inspect.matrix')}</th>
                <th scope="col" class="num">${t('inspect.relative.short')}</th>
                <th scope="col" class="num">${t('inspect.effective')}</th></tr></thead>
            <tbody>${overview.map(({ layer, site, spectrum }) => html`<tr
                class=${place?.layer === layer && place.site === site ? 'chosen' : ''}>
                <td class="num">${count(layer + 1)}</td>
                <td><button class="link" @click=${() => this.#choose({ layer, site })}>${site}<span
                    class="sr"> ${t('inspect.layer')} ${layer + 1}</span></button></td>
                <td class="num">${percent(spectrum.relative * 100)}</td>
                <td class="num">${fixed(spectrum.effective_rank)}</td></tr>`)}</tbody></table></div>
            <p class="small muted">${t('inspect.overview.about')}</p></div>`;
    }
}
define('peft-panel-inspect', PeftPanelInspect);
