// @ts-check
/** The pack's name as the front end shows it: the extensions bear it, and pyproject.toml has it in small letters. */

export const PACK = "EchoGen";
