"""Papers that the catalogue names, by arXiv number: authors and title."""

PAPERS = {
    "1502.07943": (
        "Jamieson, Talwalkar",
        "Non-stochastic Best Arm Identification and Hyperparameter Optimization",
    ),
    "1707.07012": (
        "Zoph et al.",
        "Learning Transferable Architectures for Scalable Image Recognition",
    ),
    "1711.00436": (
        "Liu et al.",
        "Hierarchical Representations for Efficient Architecture Search",
    ),
    "1802.01548": (
        "Real et al.",
        "Regularized Evolution for Image Classifier Architecture Search",
    ),
    "1806.09055": ("Liu, Simonyan, Yang", "DARTS: Differentiable Architecture Search"),
    "1812.00332": (
        "Cai, Zhu, Han",
        "ProxylessNAS: Direct Neural Architecture Search on Target Task and Hardware",
    ),
    "1812.09926": ("Xie et al.", "SNAS: Stochastic Neural Architecture Search"),
    "1902.09635": (
        "Ying et al.",
        "NAS-Bench-101: Towards Reproducible Neural Architecture Search",
    ),
    "1904.00420": (
        "Guo et al.",
        "Single Path One-Shot Neural Architecture Search with Uniform Sampling",
    ),
    "1904.12760": (
        "Chen et al.",
        "Progressive Differentiable Architecture Search: Bridging the Depth Gap between Search "
        "and Evaluation",
    ),
    "1907.01845": (
        "Chu et al.",
        "FairNAS: Rethinking Evaluation Fairness of Weight Sharing Neural Architecture Search",
    ),
    "1907.05737": (
        "Xu et al.",
        "PC-DARTS: Partial Channel Connections for Memory-Efficient Architecture Search",
    ),
    "1908.09791": (
        "Cai et al.",
        "Once-for-All: Train One Network and Specialize it for Efficient Deployment",
    ),
    "1909.06035": (
        "Liang et al.",
        "DARTS+: Improved Differentiable Architecture Search with Early Stopping",
    ),
    "1909.09656": (
        "Zela et al.",
        "Understanding and Robustifying Differentiable Architecture Search",
    ),
    "1910.04465": (
        "Dong, Yang",
        "Searching for A Robust Neural Architecture in Four GPU Hours",
    ),
    "1911.12126": (
        "Chu et al.",
        "Fair DARTS: Eliminating Unfair Advantages in Differentiable Architecture Search",
    ),
    "1912.00195": ("Li et al.", "SGAS: Sequential Greedy Architecture Search"),
    "2001.00326": (
        "Dong, Yang",
        "NAS-Bench-201: Extending the Scope of Reproducible Neural Architecture Search",
    ),
    "2001.10422": (
        "Zela, Siems, Hutter",
        "NAS-Bench-1Shot1: Benchmarking and Dissecting One-shot Neural Architecture Search",
    ),
    "2002.05283": (
        "Chen, Hsieh",
        "Stabilizing Differentiable Architecture Search via Perturbation-based Regularization",
    ),
    "2006.10355": ("Chen et al.", "DrNAS: Dirichlet Neural Architecture Search"),
    "2009.00437": (
        "Dong et al.",
        "NATS-Bench: Benchmarking NAS Algorithms for Architecture Topology and Size",
    ),
    "2009.01027": (
        "Chu et al.",
        "DARTS-: Robustly Stepping out of Performance Collapse Without Indicators",
    ),
    "2103.11922": (
        "Su et al.",
        "Prioritized Architecture Sampling with Monto-Carlo Tree Search",
    ),
    "2105.11871": (
        "Duan et al.",
        "TransNAS-Bench-101: Improving Transferability and Generalizability of Cross-Task Neural "
        "Architecture Search",
    ),
    "2106.10784": (
        "Zhang et al.",
        "iDARTS: Differentiable Architecture Search with Stochastic Implicit Gradients",
    ),
    "2107.00651": (
        "Chen et al.",
        "AutoFormer: Searching Transformers for Visual Recognition",
    ),
    "2108.04392": ("Wang et al.", "Rethinking Architecture Selection in Differentiable NAS"),
    "2203.01665": (
        "Ye et al.",
        "beta-DARTS: Beta-Decay Regularization for Differentiable Architecture Search",
    ),
    "2210.07998": (
        "Movahedi et al.",
        "Lambda-DARTS: Mitigating Performance Collapse by Harmonizing Operation Selection among "
        "Cells",
    ),
    "2304.08612": (
        "Liu et al.",
        "Bridging Discrete and Backpropagation: Straight-Through and Beyond",
    ),
    "2507.16533": (
        "Jha, Moradian, Krishnakumar, Rapp, Hutter",
        "confopt: A Library for Implementation and Evaluation of Gradient-based One-Shot NAS "
        "Methods",
    ),
}
