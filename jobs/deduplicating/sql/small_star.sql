-- Each node and its smaller neighbours, linked to the smallest of them.
-- edges: node and lower, another node that is smaller. Nodes that were connected stay so.
with edges as (select * from {edges}),
centred as (
    select
        node,
        lower,
        min(lower) over (partition by node) as lowest
    from edges
)
select
    node,
    lowest as lower
from centred
union
select
    lower as node,
    lowest as lower
from centred
where lower <> lowest
