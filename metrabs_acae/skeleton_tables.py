"""The joint lists and edges of the conventions, as data. Facts: the datasets' own definitions.

Glossary of base names: pelv pelvis, spin/spi1../bell/thor/tors levels of the spine, htop top of the head, cla clavicle,
sho shoulder, elb elbow, wri wrist, han hand, fin fingertip, thu thumb, kne knee, ank ankle, foo mid-foot, hee heel.
"""

COMMON_2D = "rank,rkne,rhip,lhip,lkne,lank,rwri,relb,rsho,lsho,lelb,lwri,leye,reye,lear,rear,nose"

_MOVI_SIDED_MARKERS = (
    "fronthead,backhead,back,shom,upperarm,elbm,forearm,writhumbside,wripinkieside,fin,asis,psis,frontthigh,thigh,"
    "knem,ankm,hee,fifthmetatarsal,toe,cheek,breast,elbinner,waist,thumb,frontinnerthigh,innerknee,shin,"
    "firstmetatarsal,fourthtoe,scapula,bum"
).split(",")
_MOVI = ",".join(
    ["backneck", "upperback", "clavicle", "sternum", "umbilicus"]
    + ["l" + n for n in _MOVI_SIDED_MARKERS]
    + ["r" + n for n in _MOVI_SIDED_MARKERS]
    + ["head,mhip,pelv,thor,lank,lelb,lhip,lhan,lkne,lsho,lwri,lfoo,rank,relb,rhip,rhan,rkne,rsho,rwri,rfoo"]
)

_PANOPTIC_19 = "neck,nose,lsho,lelb,lwri,lhip,lkne,lank,rsho,relb,rwri,rhip,rkne,rank,leye,lear,reye,rear,pelv"
_LEG_TOE = "pelv-rhip-rkne-rank-rfoo-rtoe"

# convention: (base names, edge paths; every edge stands for its mirror image too)
DATASET_SKELETONS = {
    "smpl": (
        "lhip,rhip,bell,lkne,rkne,spin,lank,rank,thor,ltoe,rtoe,neck,lcla,rcla,head,lsho,rsho,lelb,relb,lwri,rwri,"
        "lhan,rhan,pelv",
        "head-neck-thor-rcla-rsho-relb-rwri-rhan,thor-spin-bell-pelv-rhip-rkne-rank-rtoe",
    ),
    "h36m": (
        "rhip,rkne,rank,rfoo,rtoe,lhip,lkne,lank,lfoo,ltoe,spin,neck,head,htop,lsho,lelb,lwri,lthu,lfin,rsho,relb,"
        "rwri,rthu,rfin,pelv",
        "htop-head-neck-spin-pelv-lhip-lkne-lank-lfoo-ltoe,lthu-lwri-lelb-lsho-neck,lwri-lfin",
    ),
    "sailvos": (
        "htop,neck,rsho,relb,rwri,lsho,lelb,lwri,rhip,rkne,rank,lhip,lkne,lank,spin,head,pelv,rtoe,ltoe,nose,reye,"
        "leye,rear,lear,rhan,lhan",
        "htop-head-neck-spin-pelv-rhip-rkne-rank-rtoe,neck-rsho-relb-rwri-rhan,nose-reye-rear",
    ),
    "coco": (
        _PANOPTIC_19 + ",lfoo,ltoe,lhee,rfoo,rtoe,rhee",
        "nose-neck-pelv-rhip-rkne-rank-rfoo-rtoe,rank-rhee,nose-reye-rear,neck-rsho-relb-rwri",
    ),
    "3dhp": (
        "thor,spi4,spi2,spin,pelv,neck,head,htop,lcla,lsho,lelb,lwri,lhan,rcla,rsho,relb,rwri,rhan,lhip,lkne,lank,"
        "lfoo,ltoe,rhip,rkne,rank,rfoo,rtoe",
        "htop-head-neck-rcla-rsho-relb-rwri-rhan,neck-spi4-thor-spi2-spin-" + _LEG_TOE,
    ),
    "gpa": (
        "pelv,spin,spi1,spi2,spi3,neck,head,htop,rcla,rsho,relb,rwri,rhan,rfin,rthu,rthu2,lcla,lsho,lelb,lwri,lhan,"
        "lfin,lthu,lthu2,rhip,rkne,rank,rfoo,rtoe,lhip,lkne,lank,lfoo,ltoe",
        "rtoe-rfoo-rank-rkne-rhip-pelv-spin-spi1-spi2-spi3-neck-head-htop,"
        "spi3-rcla-rsho-relb-rwri-rhan-rfin,rwri-rthu-rthu2",
    ),
    "aspset": (
        "rank,rkne,rhip,rwri,relb,rsho,lank,lkne,lhip,lwri,lelb,lsho,htop,head,neck,spin,pelv",
        "htop-head-neck-rsho-relb-rwri,neck-spin-pelv-rhip-rkne-rank",
    ),
    "smplx": (
        "pelv,lhip,rhip,bell,lkne,rkne,spin,lank,rank,thor,ltoe,rtoe,neck,lcla,rcla,head,lsho,rsho,lelb,relb,lwri,"
        "rwri,jaw,leyehf,reyehf,lmiddle1,rmiddle1,nose,reye,leye,rear,lear,lto2,lto3,lhee,rto2,rto3,rhee,lthu,"
        "lmiddle,rthu,rmiddle",
        "rwri-relb-rsho-rcla-thor,rank-rhee,rto2-rtoe-rto3,"
        "rear-reye-nose-head-jaw-neck-thor-spin-bell-pelv-rhip-rkne-rank-rtoe",
    ),
    "3doh": (
        "rank,rkne,rhip,lhip,lkne,lank,rwri,relb,rsho,lsho,lelb,lwri,neck,head",
        "rsho-relb-rwri,rhip-rkne-rank,neck-head",
    ),
    "3dpeople": (
        "pelv,spin,spi1,spi2,neck,head,reye,leye,htop,lcla,lsho,lelb,lwri,lhan,rcla,rsho,relb,rwri,rhan,lhip,lkne,"
        "lank,lfoo,ltoe,rhip,rkne,rank,rfoo,rtoe",
        "pelv-spin-spi1-spi2-neck-head-htop," + _LEG_TOE + ",spi2-rcla-rsho-relb-rwri-rhan,leye-reye",
    ),
    "bmlmovi": (
        _MOVI,
        "head-thor-pelv-mhip,thor-rsho-relb-rwri-rhan,mhip-rhip-rkne-rank-rfoo",
    ),
    "mads": (
        "neck,pelv,lhip,lkne,lank,ltoe,rhip,rkne,rank,rtoe,lsho,lelb,lwri,lhan,rsho,relb,rwri,rhan,head",
        "head-neck-pelv-rhip-rkne-rank-rtoe,neck-rsho-relb-rwri-rhan",
    ),
    "umpm": (
        "pelv,neck,head,rsho,relb,rwri,lsho,lelb,lwri,rhip,lhip,rkne,lkne,rank,lank",
        "rank-rkne-rhip-pelv-neck-head,rwri-relb-rsho-neck",
    ),
    "bmhad": (
        "head,lhead,rhead,rback,backl,backt,lback,lside,bell,chest,rside,lsho1,lsho2,larm,lelb,lwri,lhan1,lhan2,"
        "lhan3,rsho1,rsho2,rarm,relb,rwri,rhan1,rhan2,rhan3,lhipb,lhipf,lhipl,lleg,lkne,lank,lhee,lfoo,rhipb,rhipf,"
        "rhipl,rleg,rkne,rank,rhee,rfoo",
        "head-rhead,lsho1-rsho1-rsho2-rarm-relb-rwri-rhan3,rhan1-rwri-rhan2,"
        "lhipb-rhipb-rhipl-rhipf-rleg-rkne-rank-rhee-rfoo,bell-rside-rhipf,bell-chest,backl-rback-rhipb,backl-backt",
    ),
    "totcap": (
        "pelv,spin,spin1,spin2,spin3,neck,head,rcla,rsho,relb,rwri,lcla,lsho,lelb,lwri,rhip,rkne,rank,lhip,lkne,lank",
        "pelv-spin-spin1-spin2-spin3-neck-head,neck-rcla-rsho-relb-rwri,pelv-rhip-rkne-rank",
    ),
    "jta": (
        "htop,head,neck,rcla,rsho,relb,rwri,lcla,lsho,lelb,lwri,spin0,spin1,spin2,spin3,pelv,rhip,rkne,rank,lhip,"
        "lkne,lank",
        "rank-rkne-rhip-pelv-spin3-spin2-spin1-spin0-neck-head-htop,neck-rcla-rsho-relb-rwri",
    ),
    "ikea": (
        "nose,leye,reye,lear,rear,lsho,rsho,lelb,relb,lwri,rwri,lhip,rhip,lkne,rkne,lank,rank",
        "rank-rkne-rhip-lhip,rhip-rsho-relb-rwri,rsho-lsho,rear-reye-nose",
    ),
    "human4d": (
        "pelv,spin0,spin1,spin2,spin3,neck,neck2,head,htop,neck3,rsho,relb,rwri,rpinkie,rthu,lsho,lelb,lwri,lpinkie,"
        "lthu,rhip,rkne,rank,rfoo,rtoe,rtoe2,lhip,lkne,lank,lfoo,ltoe,ltoe2",
        "rthu-rpinkie-rwri-relb-rsho-neck3-spin3-neck-neck2-head-htop,"
        "spin3-spin2-spin1-spin0-pelv-rhip-rkne-rank-rfoo-rtoe-rtoe2",
    ),
    "ghum": (
        "pelv,spin1,spin2,spin3,neck,head,head2,lbrow1,rbrow1,lcla,lsho,lelb,lwri,lmiddle1,lmiddle3,lthu,rcla,rsho,"
        "relb,rwri,rmiddle1,rmiddle3,rthu,lhip,lkne,lank,lhee,lfoo,ltoe,rhip,rkne,rank,rhee,rfoo,rtoe",
        "rthu-rwri-relb-rsho-rcla-spin3,head-neck-spin3-spin2-spin1-pelv-rhip-rkne-rank-rhee-rfoo-rtoe",
    ),
}

# Skeletons beside the paper's 555 joints, as `DATASET_SKELETONS`.
EXTRA_SKELETONS = {
    # Microsoft's JointType enumeration
    "kinectv2": (
        "spinebase,spinemid,neck,head,lsho,lelb,lwri,lhan,rsho,relb,rwri,rhan,lhip,lkne,lank,lfoo,rhip,rkne,rank,rfoo,"
        "spineshoulder,lhandtip,lthu,rhandtip,rthu",
        "head-neck-spineshoulder-spinemid-spinebase-rhip-rkne-rank-rfoo,"
        "spineshoulder-rsho-relb-rwri-rhan-rhandtip,rwri-rthu",
    ),
    # MediaPipe's pose landmarks
    "blazepose": (
        "nose,leyein,leye,leyeout,reyein,reye,reyeout,lear,rear,lmouth,rmouth,lsho,rsho,lelb,relb,lwri,rwri,lpinkie,"
        "rpinkie,lindex,rindex,lthu,rthu,lhip,rhip,lkne,rkne,lank,rank,lhee,rhee,ltoe,rtoe",
        "nose-reyein-reye-reyeout-rear,lmouth-rmouth,lsho-rsho-relb-rwri-rpinkie-rindex-rwri-rthu,"
        "rsho-rhip-lhip,rhip-rkne-rank-rhee-rtoe-rank",
    ),
}

_SMPL_24 = (
    "pelv,lhip,rhip,bell,lkne,rkne,spin,lank,rank,thor,ltoe,rtoe,neck,lcla,rcla,head,lsho,rsho,lelb,relb,lwri,rwri,"
    "lhan,rhan"
)

_COCO_17 = "nose,leye,reye,lear,rear,lsho,rsho,lelb,relb,lwri,rwri,lhip,rhip,lkne,rkne,lank,rank"

# name: (convention, base names; None = the convention's own order)
OUTPUT_SKELETONS = {
    "smpl_24": ("smpl", _SMPL_24),
    "h36m_17": (
        "h36m",
        "pelv,rhip,rkne,rank,lhip,lkne,lank,spin,neck,head,htop,lsho,lelb,lwri,rsho,relb,rwri",
    ),
    "h36m_25": ("h36m", None),
    "mpi_inf_3dhp_17": (
        "3dhp",
        "htop,neck,rsho,relb,rwri,lsho,lelb,lwri,rhip,rkne,rank,lhip,lkne,lank,pelv,spin,head",
    ),
    "mpi_inf_3dhp_28": ("3dhp", None),
    "coco_19": (
        "coco",
        "neck,nose,pelv,lsho,lelb,lwri,lhip,lkne,lank,rsho,relb,rwri,rhip,rkne,rank,leye,lear,reye,rear",
    ),
    "smplx_42": ("smplx", None),
    "ghum_35": ("ghum", None),
    "lsp_14": ("3doh", None),
    "sailvos_26": ("sailvos", None),
    "gpa_34": ("gpa", None),
    "aspset_17": ("aspset", None),
    "bml_movi_87": ("bmlmovi", None),
    "mads_19": ("mads", None),
    "berkeley_mhad_43": ("bmhad", None),
    "total_capture_21": ("totcap", None),
    "jta_22": ("jta", None),
    "ikea_asm_17": ("ikea", None),
    "human4d_32": ("human4d", None),
    "3dpeople_29": ("3dpeople", None),
    "umpm_15": ("umpm", None),
    "kinectv2_25": ("kinectv2", None),
    "coco_wholebody_23": ("coco", _COCO_17 + ",ltoe,lfoo,lhee,rtoe,rfoo,rhee"),
    "blazepose_33": ("blazepose", None),
    "openpose_body_25": (
        "coco",
        "nose,neck,rsho,relb,rwri,lsho,lelb,lwri,pelv,rhip,rkne,rank,lhip,lkne,lank,reye,leye,rear,lear,"
        "ltoe,lfoo,lhee,rtoe,rfoo,rhee",
    ),
    "halpe_26": ("coco", _COCO_17 + ",htop_3dhp,neck,pelv,ltoe,rtoe,lfoo,rfoo,lhee,rhee"),
    "smpl+head_30": ("smpl", _SMPL_24 + ",nose_coco,leye_coco,lear_coco,reye_coco,rear_coco,htop_3dhp"),
}

# How the public MeTRAbs models show the output skeletons: no convention in the names but in these, other base names,
# and edges beside those that the joints have in their own convention.
NAMED_WITH_CONVENTION = frozenset({"", "smpl+head_30"})
SHOWN_NAMES = {"smpl_24": {"bell": "spi1", "spin": "spi2", "thor": "spi3"}}
MORE_EDGES = {
    "mpi_inf_3dhp_17": "rsho-neck-spin",
    "smpl+head_30": "htop-head-nose",
    "coco_wholebody_23": "nose-rsho-lsho,rsho-rhip-lhip",
    "halpe_26": "htop-nose",
}

# The merged-joints baseline keeps these apart from the like-named joints of other conventions (555 -> 163).
KEPT_APART = frozenset((base, "bmlmovi") for base in ("lhee", "rhee", "ltoe", "rtoe"))
