// Docusaurus: the recipe in an .mdx page, built for production and opened; light and dark; reached by a link inside the site (no reload), too.
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { frameOf, npm, run, trial, trains, until } from './lib.mjs';

await trial('docusaurus', async ({ browser, code, folder, serve, look, say, clean }) => {
  say(await npm(folder, ['@docusaurus/core', '@docusaurus/preset-classic', '@mdx-js/react', 'react', 'react-dom']));
  await mkdir(join(folder, 'docs'), { recursive: true });
  await writeFile(join(folder, 'docs/intro.md'), '# Intro\n\n[To the laboratory](./lab.mdx)\n');
  await writeFile(join(folder, 'docs/lab.mdx'), `# Fine-tuning\n\nText before.\n\n${code.docusaurus}\n\nText after.\n`);
  await writeFile(join(folder, 'docs/component.mdx'), `# Fine-tuning, as part of the page\n\n${code.docusauruscomponent}\n`);
  await writeFile(join(folder, 'docusaurus.config.js'), `module.exports = {
  title: 'A course', url: 'https://course.example', baseUrl: '/', onBrokenLinks: 'throw',
  headTags: [{ tagName: 'link', attributes: { rel: 'icon', href: 'data:,' } }],
  presets: [['classic', { docs: { routeBasePath: '/' }, blog: false }]],
};\n`);
  await writeFile(join(folder, 'docs/index.md'), '---\nslug: /\n---\n# Course\n');
  await run('npx', ['docusaurus', 'build'], { cwd: folder, env: { DISABLE_V4_TELEMETRY: '1', CI: 'true' } });
  const url = await serve(join(folder, 'build'));
  const { page, errors } = await browser.open(`${url}intro/`, { viewport: { width: 1300, height: 900 } });
  await page.getByRole('link', { name: 'To the laboratory' }).click();
  say(`iframe: ${await trains(await frameOf(page))}`);
  await look(page, '');
  clean(errors);
  const whole = await browser.open(`${url}component/`, { viewport: { width: 1300, height: 900 }, colorScheme: 'dark' });
  await until(() => whole.page.evaluate("Boolean(customElements.get('peft-playground'))"), 'the library is loaded');
  say(`component: ${await trains(whole.page)}`);
  await whole.page.evaluate("document.documentElement.dataset.theme = 'dark'");
  await whole.page.waitForTimeout(900);
  await look(whole.page, 'component-dark');
  clean(whole.errors);
});
