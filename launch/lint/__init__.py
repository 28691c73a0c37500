"""Rules that every manifest keeps, rendered here or written by hand in k8s/.

`rule.py` is what a rule is, `security.py` holds Pod Security's `restricted` level,
`workload.py` what a careful operator asks of any workload, `gang.py` what workers that train
together need and no other tool knows, `network.py` who may talk to whom. A rule is silenced
for one object by the annotation `ignore-check.kube-linter.io/RULE: REASON`, as kube-linter's
own are; Pod Security cannot be silenced. Schemas are left to the public validators.
"""
