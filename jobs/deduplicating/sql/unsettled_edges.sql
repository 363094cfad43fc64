-- One row: how many nodes have several edges, plus how many edges lead to a node that has one itself; 0 at the end.
with edges as (select * from {edges}),
nodes as (
    select
        node,
        count(*) as num_edges
    from edges
    group by node
)
select
    (select count_if(num_edges > 1) from nodes)
    + (select count(*) from edges left semi join nodes on edges.lower = nodes.node) as num_unsettled
