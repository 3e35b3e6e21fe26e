// Open edX, as far as PyPI has it: its XBlock workbench with the platform's own HTML block (a unit with text, the
// recipe, text; nothing is cleaned, scripts run too), and its SCORM block, which takes the single file as an uploaded
// package. What the platform has around a block (its names for courses, its settings) is in SHIM.
import assert from 'node:assert/strict';
import { copyFile, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { root } from '../browser/lib/browser.mjs';
import { background, frameOf, freePort, lab, pip, run, trial, trains, until } from './lib.mjs';

/** @typedef {import('playwright-core').Page} Page */
/** @typedef {import('playwright-core').Frame} Frame */

const SHIM = `"""The workbench, with what the two blocks ask a whole platform for."""
import pathlib, sys
import django
from django.conf import settings
from workbench import settings as usual

here = pathlib.Path(__file__).parent
names = {name: value for name, value in vars(usual).items() if name.isupper()}
names['INSTALLED_APPS'] = [name for name in usual.INSTALLED_APPS if name != 'djpyfs']  # stores files for other blocks; not for this Django yet
names.update(LOGGING={}, DATABASES={'default': {'ENGINE': 'django.db.backends.sqlite3', 'NAME': here / 'workbench.db'}},
             MEDIA_ROOT=here / 'media', MEDIA_URL='/media/')
settings.configure(**names)
django.setup()

from django.core.management import call_command
from opaque_keys.edx.locator import BlockUsageLocator, CourseLocator
from workbench import runtime, scenarios

COURSE = CourseLocator('peftlab', 'trial', '2026')

class Usage(str):
    """The workbench names blocks by strings; the HTML block asks such a name for its course."""
    context_key = COURSE

class Runtime(runtime.WorkbenchRuntime):
    def get_block(self, usage_id, *more, **named):
        return super().get_block(Usage(usage_id), *more, **named)

    def get_policy(self, _key):
        return {}

    def _patch_xblock(self, block):
        if block.scope_ids.block_type == 'scorm':  # the HTML block has a location, and refuses the workbench's stand-in
            block.location = BlockUsageLocator(COURSE, 'scorm', 'package')

    def handler_url(self, block, handler_name, suffix='', query='', thirdparty=False):
        url = super().handler_url(block, handler_name, suffix, query, thirdparty)
        return url.partition('?')[0] if handler_name == 'assets_proxy' else url  # as the platform: files follow this address

from workbench import views
for module in (runtime, scenarios, views):
    module.WorkbenchRuntime = Runtime

call_command('migrate', run_syncdb=True, verbosity=0)
scenarios.get_scenarios.initialized = True  # only these, not the examples of every block that is installed
for path in sorted(here.glob('*.olx.xml')):
    scenarios.add_xml_scenario(path.name.partition('.')[0], path.name.partition('.')[0], path.read_text())
call_command('runserver', sys.argv[1], use_reloader=False)
`;

const block = (/** @type {string} */ html) => `<_html_extracted><![CDATA[${html}]]></_html_extracted>`;
const unit = (/** @type {string} */ html) =>
  `<vertical_demo>${block('<h2>Fine-tuning</h2><p>Text before, course %%COURSE_ID%%.</p>')}${block(html)}` +
  `${block('<p>Text after.</p>')}</vertical_demo>`;

/** One resource, as SCORM 1.2 wants to be told of it. @param {string} address */
const manifest = (address) => `<?xml version="1.0" encoding="utf-8"?>
<manifest identifier="peftlab" version="1"
  xmlns="http://www.imsproject.org/xsd/imscp_rootv1p1p2" xmlns:adlcp="http://www.adlnet.org/xsd/adlcp_rootv1p2">
  <metadata><schema>ADL SCORM</schema><schemaversion>1.2</schemaversion></metadata>
  <organizations default="course"><organization identifier="course"><title>peftlab</title><item identifier="item"
    identifierref="page"><title>peftlab</title></item></organization></organizations>
  <resources><resource identifier="page" type="webcontent" adlcp:scormtype="asset"
    href="${address.replaceAll('&', '&amp;').replaceAll('"', '&quot;').replaceAll('<', '&lt;')}"><file href="peftlab.html"/></resource></resources>
</manifest>
`;

/** What Studio's form sends. @param {Page} page @param {string} url @param {Buffer} zip */
async function upload(page, url, zip) {
  const usage = await page.locator('.xblock-v1').first().getAttribute('data-usage');
  const token = (await page.context().cookies()).find(({ name }) => name === 'csrftoken')?.value ?? '';
  const fields = {
    display_name: 'peftlab', width: '', height: '700', has_score: '0', enable_navigation_menu: '0',
    enable_fullscreen_button: '1', navigation_menu_width: '', weight: '1', popup_on_launch: '0',
  };
  const answer = await page.request.post(`${url}handler/${usage}/studio_submit/?student=student_1`, {
    headers: { 'X-CSRFToken': token },
    multipart: { ...fields, file: { name: 'peftlab.zip', mimeType: 'application/zip', buffer: zip } },
  });
  assert.deepEqual(await answer.json(), { result: 'success', errors: [] });
}

/** The link beside the frame: a tab of its own, the same settings. @param {Page} page */
async function fullScreen(page) {
  const [tab] = await Promise.all([page.context().waitForEvent('page'), page.getByRole('link', { name: 'Open full screen' }).click()]);
  await until(() => lab(tab, "lab.status === 'ready'"), 'the tab is ready');
  assert.deepEqual(await lab(tab, 'lab.state.options'), { rank: 4, use_rslora: true });
  assert.equal(await tab.evaluate('window.opener'), null);
  await tab.close();
}

/**
 * The plain recipe keeps its height and scrolls inside; the one that fits follows its content, both ways.
 * @param {Page} page @param {Frame} frame @param {boolean} fits
 */
async function heights(page, frame, fits) {
  const height = async () => (await page.locator('iframe').boundingBox())?.height ?? 0;
  if (fits)
    await until(
      async () =>
        Math.abs((await height()) - /** @type {number} */ (await frame.evaluate('document.documentElement.scrollHeight'))) < 4 &&
        (await height()) > 900,
      'the frame is as high as its content',
    );
  const before = await height();
  await lab(frame, "lab.set({ panel: 'calculator' })");
  if (fits) return until(async () => Math.abs((await height()) - before) > 200, 'and follows it');
  await until(() => frame.evaluate('document.documentElement.scrollHeight > innerHeight'), 'the frame scrolls');
  assert.equal(await height(), 640);
}

await trial('openedx', async ({ browser, code, folder, serve, look, say, clean, later }) => {
  const { versions, bin } = await pip(folder, ['xblock-sdk', 'xblocks-contrib', 'openedx-scorm-xblock', 'xblock', 'django', 'lazy']);
  say(versions);
  const work = join(folder, 'work');
  await rm(work, { recursive: true, force: true });
  await mkdir(join(work, 'package'), { recursive: true });
  await writeFile(join(work, 'shim.py'), SHIM);
  for (const name of ['lms', 'iframefit', 'component']) await writeFile(join(work, `${name}.olx.xml`), unit(code[name]));
  await writeFile(join(work, 'scorm.olx.xml'), '<scorm/>');
  const link = /** @type {RegExpExecArray} */ (/embed\.html(#[^"]+)"/.exec(code.lms))[1].replaceAll('&amp;', '&');
  await copyFile(join(root, 'dist/peftlab.html'), join(work, 'package/peftlab.html'));
  await writeFile(join(work, 'package/imsmanifest.xml'), manifest(`peftlab.html${link}`));
  await run(bin('python'), ['-m', 'zipfile', '-c', '../peftlab.zip', 'imsmanifest.xml', 'peftlab.html'], { cwd: join(work, 'package') });

  const port = await freePort();
  const server = await background(bin('python'), ['shim.py', `127.0.0.1:${port}`], { cwd: work });
  later(() => server.close());
  const url = `http://127.0.0.1:${port}/`;
  await server.answers(`${url}scenario/lms/`);
  const open = (/** @type {string} */ name) => browser.open(`${url}scenario/${name}/`, { viewport: { width: 1200, height: 1000 } });
  const known = /favicon\.ico|fonts\.googleapis\.com/; // the workbench has no icon, and asks another host for its font
  for (const name of ['lms', 'iframefit', 'component']) {
    const { page, errors } = await open(name);
    await page.getByText(/Text before, course course-v1:peftlab/).waitFor(); // the block itself wrote the course's name
    const place = name === 'component' ? page : await frameOf(page);
    say(`${name}: ${await trains(place)}`);
    await look(page, name);
    if (name === 'lms') await fullScreen(page);
    else await until(() => page.evaluate("typeof HtmlBlock === 'function'"), "the block's own script ran");
    if (name !== 'component') await heights(page, place, name === 'iframefit');
    clean(errors, known);
    await page.context().close();
  }

  const { page, errors } = await open('scorm');
  await upload(page, url, await readFile(join(work, 'peftlab.zip')));
  await page.reload();
  const frame = await frameOf(page, '/assets_proxy/');
  say(`scorm: ${await trains(frame)}`);
  await look(page, 'scorm');
  assert.equal(await lab(frame, 'typeof parent.API.LMSInitialize'), 'function', 'the package is where a SCORM package looks for its platform');
  clean(errors, known);
  await page.context().close();

  // A platform's page may frame its units, and may take their origin away.
  await writeFile(
    join(work, 'sandbox.html'),
    `<!doctype html><html lang="en"><meta charset="utf-8"><title>sandbox</title><link rel="icon" ` +
      `href="data:,">${['lms', 'scorm'].map((name) => `<iframe title="${name}" sandbox="allow-scripts" width="100%" height="900"
        src="${url}scenario/${name}/"></iframe>`).join('')}</html>`,
  );
  const outer = await browser.open(`${await serve(work)}sandbox.html`, { viewport: { width: 1200, height: 1900 } });
  say(`lms in a sandbox: ${await trains(await frameOf(outer.page))}`);
  say(`scorm in a sandbox: ${await trains(await frameOf(outer.page, '/assets_proxy/'))}`);
  await look(outer.page, 'sandbox');
  clean(outer.errors, known);
});
