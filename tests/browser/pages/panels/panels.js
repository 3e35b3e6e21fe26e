// One panel alone, as a foreign page would use it: ?panel=choose&theme=dark&model=stories-300k
import '../../../../web/styles/tokens.css';
import { getLab } from '../../../../web/elements/labs.js';
import { usePanelTexts } from '../../../../web/elements/texts.js';
import '#panel'; // the file of the panel under test (see lib/panel-page.mjs)

const query = new URLSearchParams(location.search);
const lab = getLab();
lab.state.model = query.get('model') ?? 'stories-300k';
if (query.get('task')) lab.state.task = String(query.get('task'));
document.documentElement.dataset.theme = query.get('theme') ?? 'light';
document.body.style.cssText = 'background: var(--bg); color: var(--text)';
await usePanelTexts();
const element = document.createElement(`peft-panel-${query.get('panel')}`);
Object.assign(element, { lab });
document.querySelector('main')?.append(element);
Object.assign(globalThis, { lab, panel: element });
