// One set of rules for the JavaScript of Node-RED (CommonJS on Node) and of the browser app (ES modules).
import js from '@eslint/js';
import globals from 'globals';

const rules = {
  'array-callback-return': 'error',
  'consistent-return': 'off',
  'default-case-last': 'error',
  eqeqeq: ['error', 'always', { null: 'ignore' }],
  'no-constructor-return': 'error',
  'no-else-return': 'off',
  'no-promise-executor-return': 'off',
  'no-self-compare': 'error',
  'no-template-curly-in-string': 'error',
  'no-throw-literal': 'error',
  'no-unmodified-loop-condition': 'error',
  'no-unused-vars': ['error', { argsIgnorePattern: '^_', caughtErrors: 'none' }],
  'no-use-before-define': ['error', { functions: false, classes: false, variables: false }],
  'no-var': 'error',
  'object-shorthand': 'error',
  'prefer-const': ['error', { destructuring: 'all' }],
  'prefer-template': 'error',
};

export default [
  { ignores: ['**/node_modules/**', 'frontend/dist/**', '.run*/**'] },
  { linterOptions: { reportUnusedDisableDirectives: 'error' } },
  js.configs.recommended,
  { rules },
  {
    files: ['nodered/**/*.js'],
    languageOptions: { sourceType: 'commonjs', ecmaVersion: 2024, globals: globals.node },
  },
  {
    files: ['frontend/src/**/*.js', 'frontend/public/**/*.js'],
    languageOptions: { sourceType: 'module', ecmaVersion: 2024, globals: globals.browser },
  },
  {
    files: ['**/*.mjs', 'frontend/*.js', 'frontend/**/*.test.js'],
    languageOptions: { sourceType: 'module', ecmaVersion: 2024, globals: globals.node },
  },
  {
    files: ['tests/bench/*.js'],
    languageOptions: { sourceType: 'commonjs', ecmaVersion: 2024, globals: globals.node },
  },
];
