// One panel in a page that is not ours: panel.html?panel=merge&model=stories-300k&task=mood&method=lora&steps=5&theme=dark
import { getLab } from '../../../web/elements/labs.js';
import { usePanelTexts } from '../../../web/elements/texts.js';

const { panel = 'inspect', theme = 'light', ...settings } = Object.fromEntries(new URLSearchParams(location.search));
document.documentElement.dataset.theme = theme;
const lab = getLab();
lab.set(settings);
Object.assign(globalThis, { lab, said: [] });
document.addEventListener('peft-say', (event) => globalThis.said.push(event.detail));
await lab.ready();
await Promise.all([import('virtual:panel'), usePanelTexts()]); // the panel that lib/panels.mjs builds the page for
const element = document.createElement(`peft-panel-${panel}`);
element.setAttribute('theme', theme);
document.querySelector('main').append(element);
globalThis.panel = element;
