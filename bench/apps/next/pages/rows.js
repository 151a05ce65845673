// A table that is made on the server for each request.
export async function getServerSideProps({ query }) {
  const rows = Array.from({ length: Number(query.count) }, (_, id) => ({ id, author: `author ${id % 2000}`, views: id * 7919 }));
  return { props: { rows } };
}

export default function Rows({ rows }) {
  return (
    <table>
      <tbody>
        {rows.map(({ id, author, views }) => (
          <tr key={id}>
            <td>{id}</td>
            <td>{author}</td>
            <td>{views}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
