-- One row: the edges that are not yet a node's only one, or lead to a node that has one itself.
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
