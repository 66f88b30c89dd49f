// @ts-check
export default function P() { return null; }
