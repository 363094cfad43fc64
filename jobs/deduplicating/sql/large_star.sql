-- Each node's larger neighbours, linked to the smallest of its neighbours and itself.
-- edges: node and lower, another node that is smaller. Nodes that were connected stay so.
with edges as (select * from {edges}),
both_ways as (
    select
        node,
        lower as neighbour
    from edges
    union all
    select
        lower as node,
        node as neighbour
    from edges
),
centred as (
    select
        node,
        neighbour,
        least(node, min(neighbour) over (partition by node)) as lowest
    from both_ways
)
select distinct
    neighbour as node,
    lowest as lower
from centred
where neighbour > node
