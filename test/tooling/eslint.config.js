import tseslint from 'typescript-eslint';

/** Typed lint: promises, exhaustive unions, no `any`. Format and quick lint are Biome's. */
export default tseslint.config(
  { ignores: ['**/*.cjs', '**/dist/**', '**/node_modules/**', '**/.interlock/**'] },
  ...tseslint.configs.strictTypeChecked,
  {
    files: ['**/*.ts'],
    languageOptions: {
      parserOptions: { project: ['./tsconfig.json'], tsconfigRootDir: new URL('../..', import.meta.url).pathname },
    },
    rules: {
      '@typescript-eslint/switch-exhaustiveness-check': 'error',
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true, allowBoolean: true }],
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
      '@typescript-eslint/consistent-type-imports': 'error',
      // Biome's useLiteralKeys is off and tsc's noPropertyAccessFromIndexSignature asks for brackets.
      '@typescript-eslint/dot-notation': 'off',
      // proto-loader and dockerode hand out loosely typed values; every door casts once, with its reason beside it.
      '@typescript-eslint/no-unnecessary-type-parameters': 'off',
      // An async method without await turns its throws into rejections, which callers of a port rely on.
      '@typescript-eslint/require-await': 'off',
    },
  },
  {
    files: ['test/**/*.ts'],
    rules: {
      // Test doubles are object literals whose functions use no `this`.
      '@typescript-eslint/unbound-method': 'off',
    },
  },
  { files: ['**/*.js', '**/*.cjs', '**/*.mjs'], ...tseslint.configs.disableTypeChecked },
);
