/** The build takes policies in as text. */
declare module "*.rego" {
  const text: string;
  export default text;
}
