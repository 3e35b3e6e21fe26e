// Code to embed: whose address only opens here is told so before it is handed on.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { onlyHere } from '../../web/lib/embed.js';

test('addresses that nobody else can open', () => {
  for (const page of [
    'http://127.0.0.1:4173/', 'http://localhost:8080/lab/', 'http://[::1]:80/', 'http://10.0.0.4/',
    'http://172.20.1.1/', 'http://192.168.178.20:3000/', 'http://169.254.1.1/', 'http://[fe80::1]/',
    'http://[fd12:3456::1]/', 'http://nas/', 'http://school.local/', 'http://lab.localhost/',
  ]) {
    assert.equal(onlyHere(page), 'network', page);
  }
  assert.equal(onlyHere('file:///lab/peftlab.html'), 'file');
  for (const page of [
    'https://your.host/', 'https://example.org/lab/', 'http://172.15.0.1/', 'http://11.0.0.1/',
    'https://[2a00:1450::1]/', 'https://localhost.example.org/',
  ])
    assert.equal(onlyHere(page), '', page);
});
