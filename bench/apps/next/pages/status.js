export default function Status() {
  return <p>fine</p>;
}
