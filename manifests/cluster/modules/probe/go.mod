module serverless-harness/cluster/probe

go 1.26
