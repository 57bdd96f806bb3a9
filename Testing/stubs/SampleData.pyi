class SampleDataLogic:
    @staticmethod
    def registerCustomSampleDataSource(
        category: str,
        sampleName: str,
        sampleDescription: str,
        thumbnailFileName: str,
        uris: str,
        fileNames: str,
        nodeNames: str,
        checksums: str,
    ) -> None: ...
